// Taking connections, also where there is no descriptor for one.
#include "io/listener_core.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "io/io_checks.hpp"
#include "io/socket_address.hpp"
#include "io/stream_core.hpp"
#include "leasepool/detail/access.hpp"

namespace leasepool::detail {

std::shared_ptr<ListenerCore> ListenerCore::make(std::shared_ptr<LoopCore> loop, UniqueFd fd, SocketFile file) {
  const Address address = address_of(fd.get());
  auto core = std::make_shared<ListenerCore>(std::move(loop), std::move(fd), address, std::move(file));
  core->pause_.keep();
  core->loop_->attach(*core);
  return core;
}

ListenerCore::ListenerCore(std::shared_ptr<LoopCore> loop, UniqueFd fd, const Address& address, SocketFile file)
    : loop_(std::move(loop)),
      fd_(std::move(fd)),
      file_(std::move(file)),
      what_("accept on " + address.text()),
      is_tcp_(!address.host.empty()),
      waiters_(*loop_),
      pause_(*loop_) {}

void ListenerCore::check(const char* verb, const IoOptions& options) const {
  check_verb(*loop_, verb, options.timeout);
  if (closed_) throw_closed(verb, "the listener");
}

std::uint64_t ListenerCore::accept(IoOptions options, IoCallback<Stream> done) {
  const std::uint64_t number = ++last_wait_;
  waiters_.add(
      number, options.timeout,
      [weak = weak_from_this(), number, timeout = options.timeout] {
        const auto self = weak.lock();
        if (!self) return;
        self->waiters_.fail(number, timed_out(self->what_, timeout));
        self->deliver_later();
      },
      std::move(done));
  go_on();
  return number;
}

void ListenerCore::go_on() noexcept {
  while (!waiters_.empty() && !kept_.empty()) {
    waiters_.serve(std::move(kept_.front()));
    kept_.pop_front();
  }
  deliver_later();
  if (waiters_.empty() || operation_ != 0 || pause_.is_set()) return;
  try {
    operation_ = loop_->engine().start(
        {.kind = multishot_ ? Operation::Kind::accept_multishot : Operation::Kind::accept, .fd = fd_.get()},
        [self = shared_from_this()](Completion completion) { self->completed(completion); }, kNever);
  } catch (const std::bad_alloc&) {
    pause();
  }
}

void ListenerCore::completed(Completion completion) {
  if (!completion.more) operation_ = 0;
  UniqueFd connection = try_above_standard_streams(UniqueFd(std::max(completion.result, -1)));
  const int error = completion.result < 0 ? -completion.result : errno;
  if (closed_) {
    if (operation_ == 0) fd_.reset();
    return;
  }
  connection ? take(std::move(connection)) : failed(error);
  go_on();
  if (operation_ != 0 && kept_.size() >= kMaxKept) loop_->engine().cancel(operation_);
}

// A connection for which there is no memory is closed: both ends hear of it.
void ListenerCore::take(UniqueFd connection) noexcept {
  const int on = 1;
  if (is_tcp_) (void)::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  try {
    kept_.push_back(Access::make<Stream>(StreamCore::make(loop_, std::move(connection))));
  } catch (const std::bad_alloc&) {
    if (!waiters_.empty()) waiters_.serve(std::unexpected(Error::out_of_memory()));
  }
}

void ListenerCore::failed(int error) noexcept {
  switch (error) {
    case ECANCELED:
    case EINTR:
    case EAGAIN:
    case ECONNABORTED: return;  // it goes on with the next, if somebody waits
    case EINVAL:
      if (std::exchange(multishot_, false)) return;
      break;
    case EMFILE:
    case ENFILE: return pause();
    default: break;
  }
  if (!waiters_.empty()) waiters_.serve(std::unexpected(failed_call(error, what_)));
}

void ListenerCore::pause() noexcept {
  if (pause_.is_set()) return;
  pause_.set(deadline_after(loop_->now(), kPauseWithoutDescriptors), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->pause_.came();
    self->go_on();
  });
}

// What it had been given is for the next.
void ListenerCore::cancel_wait(std::uint64_t wait) noexcept {
  auto given = waiters_.cancel(wait);
  if (!given) return;
  try {
    kept_.push_front(*std::move(given));
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then it is closed, and its other end hears of it
  }
  go_on();
}

void ListenerCore::close() noexcept {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  loop_->detach(*this);
  pause_.disarm();
  waiters_.fail_all(Error::make(Errc::cancelled, [&] { return what_ + ": the listener was closed"; }));
  deliver_later();
  kept_.clear();
  file_.remove();
  operation_ != 0 ? loop_->engine().cancel(operation_) : fd_.reset();
}

void ListenerCore::deliver_later() noexcept {
  if (!waiters_.has_served()) return;
  if (auto queued = delivery_.to_queue(shared_from_this())) loop_->defer(std::move(queued));
}

void ListenerCore::deliver() {
  if (!waiters_.has_served()) return;
  struct TellTheNext {  // also where this one throws
    ListenerCore& listener;
    ~TellTheNext() { listener.deliver_later(); }
  };
  const TellTheNext next{*this};
  waiters_.deliver_first();
}

}  // namespace leasepool::detail
