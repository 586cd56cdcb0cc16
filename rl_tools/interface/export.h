#pragma once
// What makes a function visible outside of a shared library, under its plain name.

#if defined(_WIN32)
#define RL_TOOLS_EXPORT extern "C" __declspec(dllexport)
#else
#define RL_TOOLS_EXPORT extern "C" __attribute__((visibility("default")))
#endif
