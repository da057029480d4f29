// One text of each kind is made at a time, and whoever asks meanwhile waits for that.
#include "stats/report_texts.hpp"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <new>
#include <utility>

#include "base/clock.hpp"
#include "lease/stats_format.hpp"

namespace leasepool::detail {

using stats_format::json_array;

std::string to_json(const LoopReport& report) {
  const Duration time = std::chrono::system_clock::now().time_since_epoch();
  return stats_format::JsonObject()
      .add("format", std::uint64_t{1})
      .add("pid", static_cast<std::uint64_t>(::getpid()))
      .add("program", program_invocation_short_name)
      .add("time", time)
      .add("engine", report.engine == LoopEngine::epoll ? "epoll" : "io_uring")
      .raw("managers", json_array(report.managers, [](const ManagerStats& stats) { return leasepool::to_json(stats); }))
      .raw("grinders", json_array(report.grinders, [](const GrinderStats& stats) { return leasepool::to_json(stats); }))
      .raw("nodes", json_array(report.nodes, [](const NodeStats& stats) { return leasepool::to_json(stats); }))
      .text();
}

std::string to_prometheus(const LoopReport& report) {
  return leasepool::to_prometheus(report.managers, report.grinders);
}

// On its way through the thread and back. Room for all that tells of it is there from the start.
struct ReportTexts::Making final : BackgroundTask {
  Making(LoopReport of, Format as, std::shared_ptr<Inbox> to, std::move_only_function<void()> done)
      : report(std::move(of)),
        format(as),
        inbox(std::move(to)),
        is_done(std::make_unique<DeferredFunction>(std::move(done))) {}

  void run() noexcept override {
    try {
      text = std::make_shared<const std::string>(format == Format::json ? to_json(report) : to_prometheus(report));
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): no text says so
    }
    inbox->post(std::move(is_done));
  }

  LoopReport report;
  const Format format;
  const std::shared_ptr<Inbox> inbox;
  std::unique_ptr<Deferred> is_done;
  SharedText text;
};

void ReportTexts::get(Format format, Callback done) {
  const auto loop = loop_.lock();
  if (!loop) return;
  Text& text = texts_[static_cast<std::size_t>(format)];
  if (text.text && loop->now() - text.made < kFresh) {
    loop->post([known = text.text, done = std::move(done)]() mutable { done(std::move(known)); });
    return;
  }
  text.waiting.push_back(std::move(done));
  if (text.making) return;
  text.made = loop->now();
  try {
    text.making = make(*loop, format);
  } catch (const std::bad_alloc&) {
    text.waiting.pop_back();  // nobody else waits
    throw;
  }
  const auto making = text.making;
  if (!thread_.add(making)) making->run();
}

std::shared_ptr<ReportTexts::Making> ReportTexts::make(LoopCore& loop, Format format) {
  return std::make_shared<Making>(loop.report(), format, loop.inbox(), [weak = weak_from_this(), format] {
    if (const auto self = weak.lock()) self->made(format);
  });
}

void ReportTexts::made(Format format) {
  Text& text = texts_[static_cast<std::size_t>(format)];
  const auto making = std::exchange(text.making, nullptr);
  text.text = std::move(making->text);
  const SharedText known = text.text;
  for (auto waiting = std::exchange(text.waiting, {}); Callback & done : waiting) {
    known ? done(known) : done(std::unexpected(Error::out_of_memory()));
  }
}

}  // namespace leasepool::detail
