// A system call that fails from now on, as one that a filter around the whole program refuses.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>

#include "base/check.hpp"

namespace leasepool::test {

// With that errno, here and in what is forked. False where that cannot be. Async-signal-safe.
inline bool refuse_call(long number, int error) noexcept {
  std::array<sock_filter, 4> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
  return ::syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

// fstat(2), whichever call the C library makes of it.
inline bool refuse_fstat(int error) noexcept {
  return refuse_call(SYS_fstat, error) && refuse_call(SYS_newfstatat, error);
}

// As the first; the program ends where that cannot be.
inline void refuse(long number, int error) { detail::check(refuse_call(number, error), "seccomp takes the filter"); }

}  // namespace leasepool::test
