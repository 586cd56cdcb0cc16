// A pendulum in C++, balanced by the policy that train.py exported: no Python, no RLtools, no heap.
//
// The equations of motion and the costs are those of Gymnasium's Pendulum-v1, as its documentation gives them.
#include <math.h>
#include <stdio.h>

#include "pendulum_policy.h"

constexpr double PI = 3.14159265358979323846;

struct Pendulum {
    double angle;     // rad, 0 is upright
    double velocity;  // rad/s
};

double clip(double x, double bound) {
    return fmax(-bound, fmin(bound, x));
}

void observe(const Pendulum& pendulum, float* observation) {
    observation[0] = static_cast<float>(cos(pendulum.angle));
    observation[1] = static_cast<float>(sin(pendulum.angle));
    observation[2] = static_cast<float>(pendulum.velocity);
}

// Apply a torque (N m) for one time step and return the reward.
double step(Pendulum& pendulum, double torque) {
    constexpr double GRAVITY = 10, MASS = 1, LENGTH = 1, TIME_STEP = 0.05, MAX_SPEED = 8, MAX_TORQUE = 2;
    torque = clip(torque, MAX_TORQUE);
    const double deviation = remainder(pendulum.angle, 2 * PI);
    const double cost = deviation * deviation + 0.1 * pendulum.velocity * pendulum.velocity + 0.001 * torque * torque;
    const double acceleration = 1.5 * GRAVITY / LENGTH * sin(pendulum.angle) + 3 / (MASS * LENGTH * LENGTH) * torque;
    pendulum.velocity = clip(pendulum.velocity + acceleration * TIME_STEP, MAX_SPEED);
    pendulum.angle += pendulum.velocity * TIME_STEP;
    return -cost;
}

int main() {
    if (!pendulum_policy::self_test()) {
        fprintf(stderr, "self test failed: this program does not compute what the trained model computed\n");
        return 1;
    }
    constexpr int N_EPISODES = 10, N_STEPS = 200;
    double total = 0;
    for (int episode = 0; episode < N_EPISODES; episode++) {
        Pendulum pendulum = {PI * (2 * episode + 1 - N_EPISODES) / N_EPISODES, 0};
        printf("from %7.4f rad: ", pendulum.angle);
        double episode_return = 0;
        for (int i = 0; i < N_STEPS; i++) {
            float observation[pendulum_policy::OBSERVATION_DIM], action[pendulum_policy::ACTION_DIM];
            observe(pendulum, observation);
            pendulum_policy::evaluate(observation, action);
            episode_return += step(pendulum, action[0]);
        }
        printf("return %9.3f\n", episode_return);
        total += episode_return;
    }
    printf("mean return %9.3f\n", total / N_EPISODES);
    return 0;
}
