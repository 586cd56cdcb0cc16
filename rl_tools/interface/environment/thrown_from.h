#pragma once
// Remembers from where the author's last exception was thrown, for a build with sanitizers, which can tell the lines.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <typeinfo>

#include <rl_tools/rl/components/episode/episode.h>

#include <sanitizer/common_interface_defs.h>

#if defined(__linux__)
#include <dlfcn.h>
#include <unwind.h>
#endif

namespace thrown_from {
    inline constexpr std::size_t DEEPEST = 64;
    inline std::uintptr_t addresses[DEEPEST];
    inline std::size_t n_addresses = 0;

    // As the sanitizers print a stack.
    inline void print() {
        for (std::size_t i = 0; i < n_addresses; i++) {
            char text[2048] = {};  // one string for each function that was inlined there, and an empty one at the end
            // The call comes before the address that it returns to.
            __sanitizer_symbolize_pc(reinterpret_cast<void*>(addresses[i] - 1), "%s:%l", text, sizeof(text) - 2);
            for (const char* frame = text; *frame != '\0'; frame += std::char_traits<char>::length(frame) + 1) {
                std::fprintf(stderr, "    #%zu %s\n", i, frame);
            }
        }
    }

#if defined(__linux__)
    inline _Unwind_Reason_Code note(_Unwind_Context* context, void*) {
        addresses[n_addresses++] = _Unwind_GetIP(context);
        return n_addresses < DEEPEST ? _URC_NO_REASON : _URC_END_OF_STACK;
    }
#endif
}

#if defined(__linux__)
// In place of the C++ library's, which it calls: each exception comes by here. Known by that name to the linker only,
// as compilers have a declaration of their own.
extern "C" [[noreturn]] void rl_tools_throw(void* exception, void* type, void (*destroy)(void*)) asm("__cxa_throw");

extern "C" void rl_tools_throw(void* exception, void* type, void (*destroy)(void*)) {
    if (type != &typeid(rl_tools::rl::components::episode::Failure)) {  // in place of the author's exception
        thrown_from::n_addresses = 0;
        _Unwind_Backtrace(thrown_from::note, nullptr);
    }
    reinterpret_cast<decltype(&rl_tools_throw)>(dlsym(RTLD_NEXT, "__cxa_throw"))(exception, type, destroy);
    __builtin_unreachable();
}
#endif
