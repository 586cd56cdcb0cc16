// Evaluates exported policies in integers, which policies.h includes and lists: of each policy in turn, reads
// N_OBSERVATIONS observations as raw floats and as many as raw integers, and writes the actions of each.
#include "policies.h"

#include <stdio.h>

template <int OBSERVATION_DIM, int ACTION_DIM, typename T>
bool run(void (*evaluate)(const T*, T*)) {
    for (int i = 0; i < N_OBSERVATIONS; i++) {
        T observation[OBSERVATION_DIM], action[ACTION_DIM];
        if (fread(observation, sizeof(observation), 1, stdin) != 1) {
            return false;
        }
        evaluate(observation, action);
        fwrite(action, sizeof(action), 1, stdout);
    }
    return true;
}

#define RUN(POLICY)                                                                                     \
    POLICY::self_test() && run<POLICY::OBSERVATION_DIM, POLICY::ACTION_DIM, float>(POLICY::evaluate) && \
        run<POLICY::OBSERVATION_DIM, POLICY::ACTION_DIM, int32_t>(POLICY::evaluate) &&

int main() {
    return FOR_EACH_POLICY(RUN) true ? 0 : 1;
}
