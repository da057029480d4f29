// Brings about what a grinder's items can fail with, for the test of docs/errors.md.
#pragma once

#include <future>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support.hpp"

inline lp::GrinderOptions errors_grinder() {
  return {.batch_size_threshold = 2, .max_wait = 1h, .owner_prefix = "errors", .max_pending = 3};
}

// What awaiting an item gives.
template <class R>
lp::Task<lp::Result<R>> outcome_of(lp::Pending<R> pending) {
  try {
    co_return co_await pending;
  } catch (const lp::LeasePoolError& error) {
    const std::string what = error.what();
    const std::size_t own = what.size() - error.code().message().size() - 2;
    co_return std::unexpected(lp::Error(static_cast<Errc>(error.code().value()), what.substr(0, own)));
  }
}

template <class Failures>
lp::Task<> fail_items(Failures& failures, lp::Loop& loop, std::string_view owner) {
  const auto of = [&failures](const auto& result) { failures.add(result); };
  const auto answered = [&](std::size_t count) {
    return until(loop, [&failures, count] { return failures.answers() >= count; });
  };
  auto manager = std::make_unique<lp::LeasedExecutorManager>(loop, options_for(ExecutorBackend::thread, 1, 1));
  co_await manager->start();
  auto grinder = std::make_unique<lp::WorkGrinder>(*manager, errors_grinder());
  const lp::GrinderCalls owned = grinder->with({.owner = owner});
  std::size_t count = failures.answers();
  owned.submit_async(square, 1, of);  // it has not started
  co_await answered(count += 1);
  co_await grinder->start();
  failures.of([&] { (void)owned.submit_from_thread(square, 1); });

  auto taken_back = owned.enqueue(square, 1);
  taken_back.cancel();
  failures.add(co_await outcome_of(std::move(taken_back)));
  ++count;
  auto running = owned.enqueue(pass_gate, 1);
  auto behind = owned.enqueue(square, 1);
  co_await until_entered(loop, 1);
  behind.cancel();
  failures.add(co_await outcome_of(std::move(behind)));
  ++count;
  for (int i = 0; i < 3; ++i) owned.submit_async(square, 1, of);
  owned.submit_async(square, 1, of);  // there is no room
  co_await answered(count += 1);
  co_await grinder->stop(true);
  co_await answered(count += 3);
  failures.add(co_await outcome_of(std::move(running)));
  ++count;
  open_gate();

  co_await grinder->start();
  const auto short_one = grinder->batch([](std::vector<int> numbers) {
    numbers.pop_back();
    return numbers;
  });
  for (int i = 0; i < 2; ++i) short_one.with({.owner = owner}).submit_async(i, of);
  co_await answered(count += 2);
  manager.reset();
  for (int i = 0; i < 2; ++i) owned.submit_async(square, 1, of);
  co_await answered(count += 2);
}

template <class Failures>
void fail_items_without_a_loop(Failures& failures, std::string_view owner) {
  auto loop = std::make_unique<lp::Loop>();
  lp::LeasedExecutorManager manager(*loop, options_for(ExecutorBackend::thread));
  const lp::WorkGrinder grinder(manager, errors_grinder());
  const lp::GrinderCalls owned = grinder.with({.owner = owner});
  std::thread([&] { failures.of([&] { (void)owned.submit(square, 1); }); }).join();
  loop.reset();
  failures.of([&] { (void)owned.submit(square, 1); });
  std::thread([&] { failures.of([&] { (void)owned.submit_from_thread(square, 1).get(); }); }).join();
}
