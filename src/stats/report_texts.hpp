// ReportTexts: what a loop has to say as JSON and as Prometheus text, made beside the loop and kept for a moment, so
// that many who ask cost no more than one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/background_thread.hpp"
#include "loop/deferred.hpp"
#include "loop/loop_core.hpp"
#include "loop/loop_report.hpp"

namespace leasepool::detail {

using SharedText = std::shared_ptr<const std::string>;

[[nodiscard]] std::string to_json(const LoopReport& report);
[[nodiscard]] std::string to_prometheus(const LoopReport& report);

// Loop thread only.
class ReportTexts : public std::enable_shared_from_this<ReportTexts> {
 public:
  enum class Format { json, prometheus };
  using Callback = std::move_only_function<void(Result<SharedText>)>;

  // How old what it says may be.
  static constexpr Duration kFresh = std::chrono::milliseconds(250);

  explicit ReportTexts(std::weak_ptr<LoopCore> loop) : loop_(std::move(loop)) {}

  // Later, and not after the loop has ended. Without memory for it the callback gets that.
  void get(Format format, Callback done);

 private:
  struct Making;
  struct Text {
    SharedText text{};
    TimePoint made{};
    std::shared_ptr<Making> making{};  // while others wait for it
    std::vector<Callback> waiting{};
  };

  [[nodiscard]] std::shared_ptr<Making> make(LoopCore& loop, Format format);
  void made(Format format);

  const std::weak_ptr<LoopCore> loop_;
  Text texts_[2];
  // Where all processors are at work, calls go before texts: a text takes longer than most calls.
  static constexpr int kNiceness = 19;

  BackgroundThread thread_{"leasepool-stats", std::chrono::seconds(10), kNiceness};
};

}  // namespace leasepool::detail
