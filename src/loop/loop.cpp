// The public Loop and Timer over LoopCore.
#include "leasepool/loop.hpp"

#include <stdexcept>
#include <utility>

#include "base/leak.hpp"
#include "leasepool/detail/access.hpp"
#include "loop/loop_core.hpp"
#include "loop/make_engine.hpp"

namespace leasepool::detail {
#ifdef _GLIBCXX_DEBUG
const char compiled_with_GLIBCXX_DEBUG = 1;
#else
const char compiled_without_GLIBCXX_DEBUG = 1;
#endif
}  // namespace leasepool::detail

namespace leasepool {

Timer& Timer::operator=(Timer&& other) noexcept {
  if (this != &other) {
    cancel();
    loop_ = std::move(other.loop_);
    id_ = std::exchange(other.id_, 0);
  }
  return *this;
}

void Timer::cancel() noexcept {
  const std::uint64_t id = std::exchange(id_, 0);
  if (id == 0) return;
  if (const auto loop = loop_.lock()) loop->cancel_timer(id);
}

Loop::Loop(LoopOptions options) : core_(std::make_shared<detail::LoopCore>(detail::make_engine(options.engine))) {}

Loop::Loop(std::shared_ptr<detail::LoopCore> core) noexcept : core_(std::move(core)) {}

Loop::~Loop() { core_->is_copy() ? detail::leak(std::move(core_)) : core_->close(); }

LoopEngine Loop::engine() const noexcept { return std::as_const(*core_).engine().kind(); }

void Loop::spawn(Task<> task) {
  core_->check_thread("spawn");
  if (task.empty()) throw std::invalid_argument("leasepool: spawn() needs a Task, and this one was moved from");
  core_->spawn(std::move(task));
}

void Loop::run() { core_->run_until_stopped(); }

void Loop::run_root(detail::RootTask& root) {
  struct End final : detail::RootTask::Observer {
    void root_ended() noexcept override { reached = true; }
    bool reached = false;
  } end;
  core_->run_until(end.reached, [&] { root.start(end); });
}

void Loop::stop() {
  if (!core_->is_copy()) core_->request_stop();
}

void Loop::post(std::move_only_function<void()> function) {
  if (!function) throw std::invalid_argument("leasepool: post() needs a function, and this one is empty");
  if (!core_->is_copy()) core_->post(std::move(function));
}

Timer Loop::call_after(TimeSpan delay, std::move_only_function<void()> function) {
  core_->check_thread("call_after");
  if (!function) throw std::invalid_argument("leasepool: call_after() needs a function, and this one is empty");
  return detail::Access::make<Timer>(core_,
                                     core_->call_at(detail::deadline_after(core_->now(), delay), std::move(function)));
}

int Loop::poll_fd() const { return core_->poll_fd(); }

void Loop::dispatch() { core_->dispatch(); }

}  // namespace leasepool
