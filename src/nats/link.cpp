// The operations of a link, one of each kind at a time.
#include "nats/link.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "io/io_checks.hpp"
#include "io/socket_address.hpp"

namespace leasepool::detail::nats {

namespace {

constexpr std::size_t kEncryptedInput = std::size_t{32} << 10;
constexpr std::size_t kEncryptedAtOnce = std::size_t{256} << 10;  // so that others have their turn
constexpr std::size_t kKeptOutput = std::size_t{1} << 20;
constexpr Duration kLastWords = std::chrono::seconds(1);

// Keeps the memory of what is usual, so that it is not made for each turn.
void clear(std::string& text) noexcept {
  if (text.capacity() > kKeptOutput)
    std::string().swap(text);
  else
    text.clear();
}

SocketAddress no_address() { return {"connect", UnixEndpoint{.path = "-"}}; }

}  // namespace

Link::Link(std::shared_ptr<LoopCore> loop, LinkOwner& owner)
    : loop_(std::move(loop)), owner_(&owner), address_(no_address()) {}

Link::~Link() { check(owner_ == nullptr, "a link is closed before it is destroyed"); }

void Link::connect(const SocketAddress& address, TimePoint deadline) {
  loop_->attach(*this);
  address_ = address;
  // Not O_NONBLOCK: the ring then waits by itself for what a socket has not yet.
  socket_ = try_above_standard_streams(UniqueFd(::socket(family_of(address_), SOCK_STREAM | SOCK_CLOEXEC, 0)));
  if (!socket_) return fail(failed_call(errno, "socket"));
  const int on = 1;
  (void)::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  connect_ = loop_->engine().start(
      {.kind = Operation::Kind::connect, .fd = socket_.get(), .data = address_.bytes, .size = address_.size},
      [self = shared_from_this()](Completion completion) { self->connected(completion); }, deadline);
}

void Link::connected(Completion completion) {
  connect_ = 0;
  if (owner_ == nullptr) return;
  if (completion.timed_out) return fail(failed_call(ETIMEDOUT, "connect"));
  if (completion.result < 0) return fail(failed_call(-completion.result, "connect"));
  receive();
  owner_->link_connected();
}

void Link::receive() {
  if (owner_ == nullptr || failure_ || receive_ != 0) return;
  try {
    std::span<char> into;
    if (tls_) {
      if (!encrypted_input_) encrypted_input_ = std::make_unique_for_overwrite<char[]>(kEncryptedInput);
      into = {encrypted_input_.get(), kEncryptedInput};
    } else {
      into = input_.room();
    }
    receive_ = loop_->engine().recv(socket_.get(), std::as_writable_bytes(into),
                                    [self = shared_from_this()](Completion completion) { self->received(completion); });
  } catch (const std::bad_alloc&) {
    fail(Error::out_of_memory());
  }
}

void Link::received(Completion completion) {
  receive_ = 0;
  if (owner_ == nullptr || failure_) return;
  if (completion.result > 0) {
    take_in(static_cast<std::size_t>(completion.result));
  } else if (completion.result == 0) {
    return fail(Error::make(Errc::end_of_stream, [] { return "it has closed the connection"; }));
  } else if (completion.result != -EINTR && completion.result != -EAGAIN) {
    return fail(failed_call(-completion.result, "receive"));
  }
  receive();
}

void Link::take_in(std::size_t count) {
  try {
    if (tls_) return decrypt({encrypted_input_.get(), count});
    input_.filled(count);
    hand_over();
  } catch (const std::bad_alloc&) {
    fail(Error::out_of_memory());
  }
}

void Link::hand_over() {
  const std::string_view bytes = input_.bytes();
  if (bytes.empty()) return;
  const std::size_t taken = owner_->link_received(bytes);
  if (owner_ != nullptr) input_.take(taken);
}

void Link::decrypt(std::string_view received) {
  tls_->feed(received);
  if (!secured_ && !shake_hands()) return;
  while (owner_ != nullptr && !failure_) {
    const std::span<char> room = input_.room();
    const Result<std::size_t> count = tls_->read(room);
    if (!count) fail(count.error());
    if (!count || *count == 0) break;
    input_.filled(*count);
    hand_over();
  }
  if (owner_ != nullptr) flush();  // it may have to answer by itself
}

// True when that is over, and the owner has heard.
bool Link::shake_hands() {
  const Result<bool> done = tls_->shake_hands();
  flush();  // an alert says why, where it failed
  if (!done) fail(done.error());
  if (!done || !*done) return false;
  secured_ = true;
  owner_->link_secured();
  return owner_ != nullptr;
}

void Link::start_tls(std::unique_ptr<TlsSession> session) {
  check(!tls_ && output_.empty(), "TLS begins once, before anything is written");
  tls_ = std::move(session);
  const Result<bool> begun = tls_->shake_hands();
  if (!begun) return fail(begun.error());
  flush();
}

void Link::turn_ends(Engine& /*engine*/) noexcept { flush(); }

void Link::flush() noexcept {
  if (let_go_ || send_ != 0 || connect_ != 0 || failure_ || !socket_) return;
  try {
    if (sent_of_sending_ == sending_.size()) prepare_output();
    if (sent_of_sending_ != sending_.size()) return send();
  } catch (const std::bad_alloc&) {
    fail(Error::out_of_memory());
  }
  if (closing_) let_go();
}

void Link::prepare_output() {
  clear(sending_);
  sent_of_sending_ = 0;
  if (!tls_) return sending_.swap(output_);
  if (secured_ && !output_.empty()) {
    const std::string_view next = std::string_view(output_).substr(encrypted_, kEncryptedAtOnce);
    const Result<void> written = tls_->write(next);
    if (!written) return fail(written.error());
    encrypted_ += next.size();
    if (encrypted_ == output_.size()) {
      clear(output_);
      encrypted_ = 0;
    } else if (encrypted_ > output_.size() / 2) {
      output_.erase(0, std::exchange(encrypted_, 0));
    }
  }
  tls_->take_output(sending_);
}

void Link::send() {
  send_ = loop_->engine().send(socket_.get(), std::as_bytes(std::span(sending_)).subspan(sent_of_sending_),
                               [self = shared_from_this()](Completion completion) { self->sent(completion); });
}

void Link::sent(Completion completion) {
  send_ = 0;
  if (failure_ || let_go_) return;
  if (completion.result > 0) {
    sent_of_sending_ += static_cast<std::size_t>(completion.result);
  } else if (completion.result != -EINTR && completion.result != -EAGAIN) {
    return fail(failed_call(-completion.result, "send"));
  }
  flush();
  if (owner_ != nullptr && !failure_) owner_->link_sent();
}

void Link::fail(const Error& error) noexcept {
  if (failure_) return;
  if (owner_ == nullptr) return let_go();
  failure_ = error;
  if (auto queued = failed_.to_queue(shared_from_this())) loop_->defer(std::move(queued));
}

void Link::deliver_failure() {
  if (owner_ == nullptr) return;
  const Error failure = *failure_;
  owner_->link_failed(failure);
}

void Link::close() noexcept {
  if (owner_ == nullptr) return;
  owner_ = nullptr;
  if (failure_ || connect_ != 0 || !socket_) return let_go();
  closing_ = true;
  try {
    last_moment_ =
        loop_->call_at(deadline_after(loop_->now(), kLastWords), [self = shared_from_this()] { self->let_go(); });
    flush();
  } catch (const std::bad_alloc&) {
    let_go();
  }
}

void Link::abort() noexcept {
  if (owner_ == nullptr) return;
  owner_ = nullptr;
  let_go();
}

void Link::loop_closing() noexcept {
  owner_ = nullptr;
  if (socket_ && connect_ == 0 && !failure_) send_at_once();
  let_go();
}

// What the kernel has room for, without the loop, which starts nothing more.
void Link::send_at_once() noexcept {
  if (send_ != 0) {
    const int sent = loop_->engine().cancel_and_reap(std::exchange(send_, 0));
    if (sent > 0) sent_of_sending_ += static_cast<std::size_t>(sent);
  }
  try {
    for (;;) {
      if (sent_of_sending_ == sending_.size()) prepare_output();
      if (sent_of_sending_ == sending_.size()) return;
      const ssize_t sent = ::send(socket_.get(), sending_.data() + sent_of_sending_, sending_.size() - sent_of_sending_,
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return;
      sent_of_sending_ += static_cast<std::size_t>(sent);
    }
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it goes without
  }
}

// Ends whatever is in flight; the last of it closes the socket.
void Link::let_go() noexcept {
  if (std::exchange(let_go_, true)) return;
  const auto self = weak_from_this().lock();  // the timer may be all that holds it
  loop_->cancel_timer(std::exchange(last_moment_, 0));
  loop_->detach(*this);
  loop_->remove_turn_end(*this);
  Engine& engine = loop_->engine();
  for (const OperationId operation : {connect_, receive_, send_}) {
    if (operation != 0) engine.cancel(operation);
  }
}

}  // namespace leasepool::detail::nats
