// Simulation: a loop on a clock that a test moves, and pools whose calls, crashes and starts the test decides. For
// tests of code that uses leasepool; docs/testing.md shows some.
#pragma once

#include "leasepool/detail/requirements.hpp"
#ifdef LEASEPOOL_DETAIL_SUPPORTED

#include <cstddef>
#include <memory>
#include <vector>

#include "leasepool/detail/export.hpp"
#include "leasepool/duration.hpp"
#include "leasepool/lease.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/manager.hpp"

namespace leasepool::testing {

/// Managers on its loop() are made as on any other, with any options, and get simulated pools: no thread, no process,
/// no init(). Functions run on the loop's thread when their call ends; those of a process manager must be registered,
/// and have types that can be sent, but nothing is sent: what a function throws, and what it changes, is seen as from a
/// thread. Initializers run once for each pool, whose workers share what they made with make_worker_value().
///
/// Time stands still but for advance(), and for loop().block_on() and run(), which jump to the next deadline where
/// nothing else is to be done. Where there is none, they throw std::logic_error instead of waiting for ever. I/O is
/// that of the system, and its time-outs go by the real clock.
///
/// One thread. It outlives the managers, and whatever else is on its loop.
class LEASEPOOL_EXPORT Simulation {
 public:
  Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;
  ~Simulation();

  [[nodiscard]] Loop& loop() noexcept;
  [[nodiscard]] TimePoint now() const noexcept;

  /// Does what is due now, and what that brings about.
  void run() { advance(Duration::zero()); }
  /// Moves the clock by so much, by way of each deadline before, doing what is due at each. Not in a callback or a task
  /// of the loop: a task lets time pass by `co_await loop.sleep(...)`.
  void advance(TimeSpan by);

  /// How long the calls take that begin from now on; at first no time at all. Duration::max(): until finish_call().
  void set_call_duration(TimeSpan duration) noexcept;
  /// Of all pools: calls that have begun, and calls that wait for a worker.
  [[nodiscard]] std::size_t running_calls() const noexcept;
  [[nodiscard]] std::size_t waiting_calls() const noexcept;
  /// The call that began first, of the oldest pool that runs one, ends now: its function runs. False if none runs.
  bool finish_call();
  /// Its worker dies instead: it fails with worker_crashed, and has not run. False if none runs, or on threads alone.
  bool crash_worker();

  /// How long a pool takes to start from now on; at first no time at all.
  void set_start_duration(TimeSpan duration) noexcept;
  /// Whether pools that are started from now on fail to, with pool_broken.
  void refuse_pools(bool refuses) noexcept;
  /// Leases every pool that the manager has or can have, so that who acquires next waits, or is refused. Give them back
  /// by destroying them. Not in a callback or a task of the loop; the manager has started.
  [[nodiscard]] std::vector<ExecutorLease> take_all_pools(LeasedExecutorManager& manager);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace leasepool::testing

#endif
