// What stands for pools on other machines in a build without them.
#include "base/check.hpp"
#include "loop/loop_core.hpp"
#include "pool/pool.hpp"
#include "pool/pool_source.hpp"

namespace leasepool::detail {

namespace {

class MissingRemotePools final : public PoolSource {
 public:
  explicit MissingRemotePools(std::shared_ptr<LoopCore> loop) noexcept : loop_(std::move(loop)) {}

  [[nodiscard]] bool open(std::move_only_function<void(Result<void>)> ready) override {
    opening_ = std::make_shared<bool>(true);
    loop_->defer([opening = opening_, ready = std::move(ready)]() mutable {
      if (!*opening) return;
      ready(failure(Errc::unsupported,
                    "backend = remote is missing: this build of leasepool was made without it (install libssl-dev and "
                    "build again with -Dremote=enabled)"));
    });
    return false;
  }
  void close() noexcept override {
    if (opening_) *opening_ = false;
  }
  [[nodiscard]] std::shared_ptr<Pool> make_pool(PoolOptions /*options*/) override {
    invariant_failed("a source that has not opened makes no pools", std::source_location::current());
  }

 private:
  const std::shared_ptr<LoopCore> loop_;
  std::shared_ptr<bool> opening_;  // until it is closed
};

}  // namespace

void check_remote_options(const RemoteOptions& /*options*/) {}

std::shared_ptr<PoolSource> make_remote_pools(const std::shared_ptr<LoopCore>& loop,
                                              const ManagerOptions& /*options*/) {
  return std::make_shared<MissingRemotePools>(loop);
}

}  // namespace leasepool::detail
