// Contract, section Lifecycle: what a forked child has of its parent's loop, manager, lease and grinder are copies,
// which do nothing to the parent's.
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <future>
#include <memory>
#include <utility>

#include "support.hpp"
#include "support/waitable_children.hpp"

namespace {

// Everything of a program that uses a pool, so that a child can destroy it.
struct Program {
  explicit Program(ExecutorBackend backend) {
    lp::ManagerOptions options = options_for(backend, 2, 1);
    options.stop_timeout = 30s;
    manager = std::make_unique<lp::LeasedExecutorManager>(*loop, options);
    grinder = std::make_unique<lp::WorkGrinder>(*manager, lp::GrinderOptions{});
    loop->block_on([](Program& program) -> lp::Task<> {
      co_await program.manager->start();
      co_await program.grinder->start();
      program.lease = co_await program.manager->acquire({.owner = "parent"});
    }(*this));
  }
  std::unique_ptr<lp::Loop> loop = std::make_unique<lp::Loop>();
  std::unique_ptr<lp::LeasedExecutorManager> manager;
  std::unique_ptr<lp::WorkGrinder> grinder;
  lp::ExecutorLease lease;
};

template <class Call>
bool is_refused(Call call) {
  try {
    call();
  } catch (const lp::LeasePoolError& error) {
    return error.code() == Errc::wrong_thread && std::string(error.what()).contains("forked");
  }
  return false;
}

// In a child: 0 if every verb refuses and everything can be destroyed.
int use_copies(Program& program) {
  int wrong = 0;
  wrong += is_refused([&] { program.lease.run_async(square, 1, [](const auto&) {}); }) ? 0 : 1;
  wrong += is_refused([&] { (void)program.lease.submit(square, 1); }) ? 0 : 1;
  wrong += is_refused([&] { program.manager->acquire_async({}, [](const auto&) {}); }) ? 0 : 1;
  wrong += is_refused([&] { (void)program.manager->stats(); }) ? 0 : 1;
  wrong += is_refused([&] { (void)program.grinder->enqueue(square, 1); }) ? 0 : 1;
  wrong += is_refused([&] { (void)program.grinder->stats_from_thread(); }) ? 0 : 1;
  wrong += is_refused([&] { program.loop->run(); }) ? 0 : 1;
  wrong += is_refused([&] { (void)program.loop->call_after(0s, [] {}); }) ? 0 : 1;
  program.loop->post([] {});
  program.loop->stop();
  program.manager->notify_scale_changed();
  program.lease = {};
  program.grinder.reset();
  program.manager.reset();
  program.loop.reset();
  return wrong;
}

}  // namespace

TEST_CASE("L6: a forked child's copies of loop, manager, lease and grinder do nothing to its parent's", "[L6]") {
  const ExecutorBackend backend = both_backends();
  CAPTURE(backend == ExecutorBackend::thread ? "thread" : "process");
  close_gate();
  Program program(backend);
  int value = 0;
  program.lease.run_async(pass_gate, 7, [&](lp::Result<int> result) {
    value = result.value_or(-1);
    program.loop->stop();
  });
  program.loop->block_on(until_entered(*program.loop, 1));

  const leasepool::test::WaitableChildren waitable;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(use_copies(program));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);

  open_gate();
  program.loop->run();
  CHECK(value == 7);
  program.loop->block_on([](Program& parent) -> lp::Task<> {
    auto call = parent.lease.run(square, 3);
    const auto result = co_await call;
    CHECK(result == 9);
    parent.lease.release();
    auto item = parent.grinder->enqueue(square, 4);
    co_await parent.grinder->stop();
    const auto item_result = co_await item;
    CHECK(item_result == 16);
    co_await parent.manager->stop();
  }(program));
}
