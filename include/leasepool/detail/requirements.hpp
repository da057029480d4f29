// What leasepool needs of the system and the compiler. Each public header includes this first, and is empty where
// something is missing, so that the one error here is not lost among those that would follow.
#pragma once

#include <version>

#if !defined(__linux__)
#error "leasepool is for Linux alone: it is built on io_uring, epoll and fork()"
#elif __cplusplus <= 202002L
#error "leasepool needs C++23: compile with -std=c++23 or newer"
#elif !defined(__cpp_exceptions)
#error "leasepool needs exceptions: compile without -fno-exceptions"
#elif !defined(__cpp_rtti)
#error "leasepool needs run-time type information: compile without -fno-rtti"
#elif !defined(__GLIBCXX__)
#error "leasepool needs libstdc++: compile without -stdlib=libc++"
#elif !defined(__cpp_lib_expected) || !defined(__cpp_lib_move_only_function) || !defined(__cpp_impl_coroutine)
#error "leasepool needs Clang 19 or newer, or GCC 12 or newer, with libstdc++ 12 or newer"
#else
#define LEASEPOOL_DETAIL_SUPPORTED
#endif
