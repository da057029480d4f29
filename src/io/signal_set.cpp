// Signals by a signalfd: one is read for each who waits, so that none is taken for nobody.
#include "leasepool/signal_set.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "base/unique_fd.hpp"
#include "io/io_checks.hpp"
#include "io/wait_queue.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "loop/deferred.hpp"
#include "loop/loop_client.hpp"

namespace leasepool {

namespace detail {

namespace {

sigset_t to_set(std::initializer_list<int> signals) {
  if (signals.size() == 0)
    throw std::invalid_argument("leasepool: SignalSet(): signals has none; it needs one at least");
  constexpr std::array kFaults = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS};
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) {
    const std::string named = "leasepool: SignalSet(): signal = " + std::to_string(signal);
    if (signal == SIGKILL || signal == SIGSTOP) throw std::invalid_argument(named + " cannot be taken by any program");
    if (std::ranges::find(kFaults, signal) != kFaults.end()) {
      throw std::invalid_argument(named + " tells of a fault of the program itself; handle it with sigaction(2)");
    }
    if (signal < 1 || sigaddset(&set, signal) != 0) throw std::invalid_argument(named + " is no signal");
  }
  return set;
}

}  // namespace

// Loop thread only. Lives until its SignalSet is gone and its operation has completed.
class SignalSetCore final : public IoOwner, public LoopClient, public std::enable_shared_from_this<SignalSetCore> {
 public:
  SignalSetCore(std::shared_ptr<LoopCore> loop, const sigset_t& signals)
      : loop_(std::move(loop)), signals_(signals), waiters_(*loop_) {}

  void begin() {
    UniqueFd fd(::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) throw IoError(std::error_code(errno, std::generic_category()), "signalfd for a SignalSet");
    fd_ = above_standard_streams(std::move(fd));
    loop_->attach(*this);
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &signals_, &before);
    for (int signal = 1; signal <= SIGRTMAX; ++signal) {
      if (sigismember(&signals_, signal) == 1 && sigismember(&before, signal) == 1) sigdelset(&signals_, signal);
    }
  }

  std::uint64_t next(IoOptions options, IoCallback<int> done) {
    const std::uint64_t number = ++last_wait_;
    waiters_.add(
        number, options.timeout,
        [weak = weak_from_this(), number, timeout = options.timeout] {
          if (const auto self = weak.lock()) self->time_out(number, timeout);
        },
        std::move(done));
    go_on();
    return number;
  }

  void cancel_wait(std::uint64_t wait) noexcept override {
    const auto given = waiters_.cancel(wait);
    if (!given) return;
    try {
      kept_.push_front(*given);
    } catch (const std::bad_alloc&) {
      (void)::raise(*given);  // it is blocked, and so comes again
    }
    go_on();
  }
  void loop_closing() noexcept override { close(); }

  void close() noexcept {
    if (std::exchange(closed_, true)) return;
    const auto self = shared_from_this();
    loop_->detach(*this);
    waiters_.fail_all(Error::make(Errc::cancelled, [] { return std::string("next of a SignalSet: it was closed"); }));
    deliver_later();
    operation_ != 0 ? loop_->engine().cancel(operation_) : fd_.reset();
    pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
  }

  void check(const char* verb, const IoOptions& options) const {
    check_verb(*loop_, verb, options.timeout);
    if (closed_) throw_closed(verb, "the SignalSet");
  }
  [[nodiscard]] LoopCore& loop() const noexcept { return *loop_; }

 private:
  static constexpr int kNone = 0;  // is no signal

  void go_on() noexcept {
    while (!waiters_.empty()) {
      Result<int> signal = take_one();
      if (signal && *signal == kNone) break;
      waiters_.serve(std::move(signal));
    }
    deliver_later();
    if (waiters_.empty() || operation_ != 0) return;
    try {
      operation_ = loop_->engine().poll(fd_.get(), POLLIN, [self = shared_from_this()](Completion completion) {
        self->completed(completion.result);
      });
    } catch (const std::bad_alloc&) {
      waiters_.fail_all(Error::out_of_memory());
      deliver_later();
    }
  }

  [[nodiscard]] Result<int> take_one() noexcept {
    if (!kept_.empty()) {
      const int signal = kept_.front();
      kept_.pop_front();
      return signal;
    }
    signalfd_siginfo info{};
    ssize_t size = 0;
    do {
      size = ::read(fd_.get(), &info, sizeof info);
    } while (size < 0 && errno == EINTR);
    if (size == sizeof info) return static_cast<int>(info.ssi_signo);
    if (errno == EAGAIN) return kNone;
    return std::unexpected(failed_call(errno, "read from the signalfd"));
  }

  void completed(int result) {
    operation_ = 0;
    if (closed_) return fd_.reset();
    if (result < 0 && result != -EINTR && result != -ECANCELED && !waiters_.empty()) {
      const std::string what = in_words_if_room([] { return std::string("next of a SignalSet"); });
      waiters_.serve(std::unexpected(failed_call(-result, what)));
    }
    go_on();
  }

  void time_out(std::uint64_t number, Duration timeout) noexcept {
    waiters_.fail(number, timed_out("next of a SignalSet", timeout));
    deliver_later();
  }

  void deliver_later() noexcept {
    if (!waiters_.has_served()) return;
    if (auto queued = delivery_.to_queue(shared_from_this())) loop_->defer(std::move(queued));
  }
  void deliver() {
    if (!waiters_.has_served()) return;
    struct TellTheNext {  // also where this one throws
      SignalSetCore& set;
      ~TellTheNext() { set.deliver_later(); }
    };
    const TellTheNext next{*this};
    waiters_.deliver_first();
  }

  const std::shared_ptr<LoopCore> loop_;
  sigset_t signals_;  // from begin() on those that were not blocked before
  UniqueFd fd_;
  bool closed_ = false;
  OperationId operation_ = 0;
  std::uint64_t last_wait_ = 0;
  std::deque<int> kept_;  // taken for somebody who went
  WaitQueue<int> waiters_;
  DeferredMember<SignalSetCore, &SignalSetCore::deliver> delivery_;
};

}  // namespace detail

SignalSet::SignalSet(Loop& loop, std::initializer_list<int> signals) {
  const auto& core = detail::Access::core(loop);
  detail::check_verb(*core, "SignalSet", Duration::zero());
  core_ = std::make_shared<detail::SignalSetCore>(core, detail::to_set(signals));
  core_->begin();
}

SignalSet& SignalSet::operator=(SignalSet&& other) noexcept {
  if (this != &other) {
    detail::let_go(core_);
    core_ = std::move(other.core_);
  }
  return *this;
}

SignalSet::~SignalSet() { detail::let_go(core_); }

void SignalSet::check(const IoOptions& options) const {
  if (!core_) detail::throw_closed("next", "the SignalSet was moved from, or it");
  core_->check("next", options);
}

detail::IoTicket SignalSet::begin_next(const Core& core, IoOptions options, detail::IoCallback<int> done) {
  core->check("next", options);
  return {core, core->next(options, std::move(done))};
}

void SignalSet::next_async(IoOptions options, detail::IoCallback<int> done) {
  check(options);
  detail::check_io_callback("next_async", done);
  core_->next(options, std::move(done));
}

}  // namespace leasepool
