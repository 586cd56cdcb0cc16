// Evaluates exported policies, which policies.h includes and lists: reads N_OBSERVATIONS observations of each policy in
// turn as raw floats, and writes the actions.
#include "policies.h"

#include <stdio.h>

template <int OBSERVATION_DIM, int ACTION_DIM>
bool run(void (*evaluate)(const float*, float*), bool (*self_test)()) {
    if (!self_test()) {
        return false;
    }
    for (int i = 0; i < N_OBSERVATIONS; i++) {
        float observation[OBSERVATION_DIM], action[ACTION_DIM];
        if (fread(observation, sizeof(observation), 1, stdin) != 1) {
            return false;
        }
        evaluate(observation, action);
        fwrite(action, sizeof(action), 1, stdout);
    }
    return true;
}

#define RUN(POLICY) run<POLICY::OBSERVATION_DIM, POLICY::ACTION_DIM>(POLICY::evaluate, POLICY::self_test) &&

int main() {
    return FOR_EACH_POLICY(RUN) true ? 0 : 1;
}
