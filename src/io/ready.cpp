// readable() and writable(): one poll.
#include <poll.h>

#include <cerrno>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "io/io_checks.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/io.hpp"
#include "loop/deferred.hpp"
#include "loop/loop_client.hpp"

namespace leasepool::detail {

namespace {

class Polling final : public IoOwner, public LoopClient, public std::enable_shared_from_this<Polling> {
 public:
  Polling(std::shared_ptr<LoopCore> loop, int fd, Readiness wanted, IoOptions options, IoCallback<void> done)
      : loop_(std::move(loop)), fd_(fd), wanted_(wanted), options_(options), done_(std::move(done)) {}

  void begin() {
    loop_->attach(*this);
    start(deadline_after(loop_->now(), options_.timeout));
  }

  void cancel_wait(std::uint64_t /*the only one*/) noexcept override {
    loop_->detach(*this);
    done_ = nullptr;
    if (operation_ != 0) (void)loop_->engine().cancel_and_reap(std::exchange(operation_, 0));
  }
  void loop_closing() noexcept override { cancel_wait(0); }

 private:
  void start(TimePoint deadline) {
    const short events = wanted_ == Readiness::to_read ? POLLIN : POLLOUT;
    try {
      operation_ = loop_->engine().poll(
          fd_, events,
          [self = shared_from_this(), deadline](Completion completion) { self->completed(completion, deadline); },
          deadline);
    } catch (const std::bad_alloc&) {
      end(std::unexpected(Error::out_of_memory()));
    }
  }

  void completed(Completion completion, TimePoint deadline) {
    if (std::exchange(operation_, 0) == 0 || !done_) return;
    if (completion.result >= 0) return end({});
    if (completion.timed_out) return end(std::unexpected(timed_out(what(), options_.timeout)));
    if (completion.result == -EINTR) return start(deadline);
    end(std::unexpected(failed_call(-completion.result, what())));
  }

  [[nodiscard]] std::string what() const noexcept {
    return in_words_if_room([this] {
      const char* const verb = wanted_ == Readiness::to_read ? "readable" : "writable";
      return verb + (" of descriptor " + std::to_string(fd_));
    });
  }

  void end(Result<void> result) noexcept {
    loop_->detach(*this);
    result_ = std::move(result);
    if (auto queued = delivery_.to_queue(shared_from_this())) loop_->defer(std::move(queued));
  }

  void deliver() {
    if (auto done = std::exchange(done_, nullptr)) done(*std::move(result_));
  }

  const std::shared_ptr<LoopCore> loop_;
  const int fd_;
  const Readiness wanted_;
  const IoOptions options_;
  OperationId operation_ = 0;
  IoCallback<void> done_;  // null once nobody waits
  std::optional<Result<void>> result_;
  DeferredMember<Polling, &Polling::deliver> delivery_;
};

void poll_later(const char* verb, Loop& loop, int fd, Readiness wanted, IoOptions options, IoCallback<void> done) {
  check_ready(loop, verb, fd, options);
  check_io_callback(verb, done);
  std::make_shared<Polling>(Access::core(loop), fd, wanted, options, std::move(done))->begin();
}

}  // namespace

void check_ready(const Loop& loop, const char* verb, int fd, const IoOptions& options) {
  check_verb(*Access::core(loop), verb, options.timeout);
  if (fd >= 0) return;
  throw std::invalid_argument("leasepool: " + std::string(verb) + "(): fd = " + std::to_string(fd) +
                              " is no descriptor; it needs an open one");
}

IoTicket begin_ready(Loop& loop, int fd, Readiness wanted, IoOptions options, IoCallback<void> done) {
  check_ready(loop, wanted == Readiness::to_read ? "readable" : "writable", fd, options);
  const auto polling = std::make_shared<Polling>(Access::core(loop), fd, wanted, options, std::move(done));
  polling->begin();
  return {polling, 0};
}

}  // namespace leasepool::detail

namespace leasepool {

void readable_async(Loop& loop, int fd, IoOptions options, detail::IoCallback<void> done) {
  detail::poll_later("readable_async", loop, fd, detail::Readiness::to_read, options, std::move(done));
}
void readable_async(Loop& loop, int fd, detail::IoCallback<void> done) {
  readable_async(loop, fd, {}, std::move(done));
}
void writable_async(Loop& loop, int fd, IoOptions options, detail::IoCallback<void> done) {
  detail::poll_later("writable_async", loop, fd, detail::Readiness::to_write, options, std::move(done));
}
void writable_async(Loop& loop, int fd, detail::IoCallback<void> done) {
  writable_async(loop, fd, {}, std::move(done));
}

}  // namespace leasepool
