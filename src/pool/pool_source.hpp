// PoolSource: where a manager's pools come from: made on this machine, or borrowed from others.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "leasepool/duration.hpp"
#include "leasepool/error.hpp"
#include "leasepool/log.hpp"
#include "leasepool/options.hpp"
#include "leasepool/stats.hpp"
#include "loop/scheduler.hpp"
#include "loop/virtual_time.hpp"
#include "pool/pool.hpp"

namespace leasepool::detail {

// Loop thread only.
class PoolSource {
 public:
  PoolSource() = default;
  PoolSource(const PoolSource&) = delete;
  PoolSource& operator=(const PoolSource&) = delete;
  virtual ~PoolSource() = default;

  // Before the first pool. False where it takes a while: `ready` is called then, later, unless close() came before.
  // Throws std::bad_alloc.
  [[nodiscard]] virtual bool open(std::move_only_function<void(Result<void>)> /*ready*/) { return true; }

  // Nothing of its pools is left. May be opened again.
  virtual void close() noexcept {}

  // Throws std::bad_alloc.
  [[nodiscard]] virtual std::shared_ptr<Pool> make_pool(PoolOptions options) = 0;

  // Whether its pools belong to others: they start when somebody lends one, however long that takes, and go back when
  // their lease ends.
  [[nodiscard]] virtual bool borrows() const noexcept { return false; }

  // How long who does not want to wait waits all the same for a pool that starts; none: until it has started.
  [[nodiscard]] virtual std::optional<Duration> longest_answer() const noexcept { return std::nullopt; }
  // Somebody waits so until then.
  virtual void hurry(TimePoint /*until*/) noexcept {}
  // Called as soon as it is known that there is no pool for who waits so, but for the `coming` ones that are about to
  // start. Set before it is opened, and not called inside a call of the source.
  using NoneFree = std::function<void(std::size_t coming)>;
  virtual void set_none_free(const NoneFree& /*none_free*/) {}
  // Why there is no pool for who did not want to wait, and who has those of others.
  [[nodiscard]] virtual std::string why_none() const { return {}; }

  virtual void add_to(ManagerStats& /*stats*/) const {}

  // Where it says what a manager's user should know; set before it is opened, and not called inside a call of the
  // source.
  using Say = std::function<void(LogLevel level, const std::string& text)>;
  virtual void set_log(const Say& /*say*/) {}
};

// The time of a loop in a test, and where its managers' pools come from. Loop thread only.
class SimulatedPools : public VirtualTime {
 public:
  [[nodiscard]] virtual std::shared_ptr<Pool> make_pool(LoopCore& loop, ExecutorBackend backend,
                                                        PoolOptions options) = 0;
};

using PoolFactory = std::function<std::shared_ptr<Pool>(PoolOptions options)>;

// Pools that are made here, at once.
class LocalPools final : public PoolSource {
 public:
  explicit LocalPools(PoolFactory factory) noexcept : factory_(std::move(factory)) {}
  [[nodiscard]] std::shared_ptr<Pool> make_pool(PoolOptions options) override { return factory_(std::move(options)); }

 private:
  PoolFactory factory_;
};

// The source of a backend's pools. Of the remote one: its open() fails in a build that has none.
[[nodiscard]] std::shared_ptr<PoolSource> make_pool_source(const std::shared_ptr<LoopCore>& loop,
                                                           const ManagerOptions& options);
[[nodiscard]] std::shared_ptr<PoolSource> make_remote_pools(const std::shared_ptr<LoopCore>& loop,
                                                            const ManagerOptions& options);

}  // namespace leasepool::detail
