// Everything in a process with the seccomp profile of a container runtime: what Docker's and Podman's default ones
// refuse to a program without privileges, among it io_uring.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "alone.hpp"
#include "leasepool/leasepool.hpp"
#include "pool/functions.hpp"
#include "support/with_manager.hpp"

using namespace leasepool;
using namespace std::chrono_literals;

namespace container {

// Those of their lists that a program may come to, as of 2024; each gets EPERM, as the profiles' defaultErrnoRet says,
// but clone3, which gets ENOSYS so that the C library takes clone.
void enter() {
  const std::vector<long> refused{
      SYS_io_uring_setup,
      SYS_io_uring_enter,
      SYS_io_uring_register,
      SYS_bpf,
      SYS_perf_event_open,
      SYS_userfaultfd,
      SYS_unshare,
      SYS_setns,
      SYS_mount,
      SYS_umount2,
      SYS_pivot_root,
      SYS_keyctl,
      SYS_add_key,
      SYS_request_key,
      SYS_kcmp,
      SYS_quotactl,
      SYS_reboot,
      SYS_acct,
      SYS_init_module,
      SYS_finit_module,
      SYS_move_pages,
      SYS_set_mempolicy,
      SYS_mbind,
      SYS_vhangup,
      SYS_open_by_handle_at,
      SYS_fsopen,
      SYS_fsmount,
      SYS_move_mount,
      SYS_open_tree,
      SYS_mount_setattr,
      SYS_clock_settime,
      SYS_settimeofday,
      SYS_swapon,
      SYS_swapoff,
      SYS_process_madvise,
  };
  std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  const auto refuse = [&](long number, int error) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
  };
  for (const long number : refused) refuse(number, EPERM);
  refuse(SYS_clone3, ENOSYS);
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()), .filter = filter.data()};
  REQUIRE(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  REQUIRE(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

int nap(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return milliseconds;
}

}  // namespace container

LEASEPOOL_REGISTER(container::nap);

namespace container {

// The code of the error that a call ends with.
template <class... Arguments>
Task<> expect_failure(const ExecutorLease& lease, CallOptions options, Errc expected, Arguments... call) {
  std::error_code code;
  try {
    auto failing = lease.with(options).run(call...);
    co_await failing;
  } catch (const LeasePoolError& failed) {
    code = failed.code();
  }
  CHECK(code == expected);
}

Task<> use(Loop& loop, ExecutorBackend backend) {
  ManagerOptions options;
  options.backend = backend;
  options.max_pools = 2;
  options.workers_per_pool = 2;
  auto body = [backend](LeasedExecutorManager& manager) -> Task<> {
    CHECK(manager.stats().engine == LoopEngine::epoll);
    {
      auto acquired = manager.acquire({.owner = "in a container"});
      auto lease = co_await acquired;
      for (int i = 0; i < 100; ++i) {
        auto call = lease.run(pool_functions::add, i, 1);
        const std::int64_t sum = co_await call;
        CHECK(sum == i + 1);
      }
      auto one = lease.run(pool_functions::make_text, 1'000'000);
      auto two = lease.run(pool_functions::make_text, 10);
      auto both = when_all(std::move(one), std::move(two));
      const auto [large, small] = co_await both;
      CHECK(large.size() + small.size() == 1'000'010);
      auto hung = expect_failure(lease, {.timeout = 30ms}, Errc::timed_out, container::nap, 2000);
      co_await hung;
      if (backend == ExecutorBackend::process) {
        auto crashed = expect_failure(lease, {}, Errc::worker_crashed, pool_functions::exit_at_once, 3);
        co_await crashed;
      }
    }
    WorkGrinder grinder(manager, {.batch_size_threshold = 8, .max_wait = 1ms});
    auto started = grinder.start();
    co_await started;
    int done = 0;
    for (int i = 0; i < 50; ++i) {
      auto item = grinder.submit(pool_functions::add, i, 0);
      const std::int64_t sum = co_await item;
      done += sum == i ? 1 : 0;
    }
    CHECK(done == 50);
    auto stopped = grinder.stop();
    co_await stopped;
  };
  auto whole = test::with_manager(loop, options, body);
  co_await whole;
}

}  // namespace container

ALONE_TEST_CASE("threads and processes and leases and batches work in a container", "[container][I8]") {
  container::enter();
  init();
  (void)::unsetenv("LEASEPOOL_ENGINE");
  Loop loop;
  CHECK(loop.engine() == LoopEngine::epoll);
  loop.block_on(container::use(loop, ExecutorBackend::thread));
  loop.block_on(container::use(loop, ExecutorBackend::process));
}
