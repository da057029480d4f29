// A connection that stands: subscriptions, what is published, what comes, and whether the server still talks.
#include "nats/connection.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/in_words.hpp"
#include "nats/subject.hpp"

namespace leasepool::detail::nats {

namespace {

constexpr std::size_t kBesideSubjects = 64;        // of a command, about
constexpr std::size_t kMaxComplaint = 300;         // that is repeated
constexpr std::size_t kAnswersBeyondLimit = 4096;  // bytes of PONGs that may wait on top of what is published

// What a server says may be anything.
std::string printable(std::string_view text) {
  if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'') text = text.substr(1, text.size() - 2);
  std::string shown(text.substr(0, kMaxComplaint));
  std::ranges::replace_if(shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return shown;
}

void check_files(const ConnectionOptions& options) {
  if (options.cert_file.empty() != options.key_file.empty()) {
    throw std::invalid_argument("leasepool: RemoteOptions::cert_file and key_file must both be given or both be empty");
  }
}

}  // namespace

std::shared_ptr<Connection> Connection::make(std::shared_ptr<LoopCore> loop, ConnectionOptions options,
                                             BusOwner& owner) {
  check_files(options);
  auto connection = std::make_shared<Connection>(std::move(loop), std::move(options), owner);
  connection->timer_.keep();
  connection->loop_->attach(*connection);
  connection->set_timer(Duration::zero());
  return connection;
}

Connection::Connection(std::shared_ptr<LoopCore> loop, ConnectionOptions options, BusOwner& owner)
    : loop_(std::move(loop)),
      options_(std::move(options)),
      servers_(parse_servers(options_.servers)),
      owner_(&owner),
      timer_(*loop_),
      backoff_(options_.eager_for),
      next_server_(std::random_device{}() % servers_.size()) {}

Connection::~Connection() { close(); }

BusState Connection::state() const noexcept {
  if (phase_ == Phase::closed) return BusState::closed;
  return phase_ == Phase::connected ? BusState::connected : BusState::connecting;
}

SubscriptionId Connection::subscribe(std::string_view pattern, Handler handler) {
  check(is_pattern(pattern), "a subscription's pattern is one");
  const SubscriptionId id = ++last_subscription_;
  const auto [at, added] = subscriptions_.emplace(
      id, Subscription{.pattern = std::string(pattern), .handler = std::make_shared<Handler>(std::move(handler))});
  if (!may_command()) return id;
  try {
    encode_subscribe(link_->output(), pattern, id);
  } catch (...) {
    subscriptions_.erase(at);
    throw;
  }
  link_->flush_soon();
  return id;
}

void Connection::unsubscribe(SubscriptionId id) noexcept {
  const auto removed = subscriptions_.extract(id);  // what its handler owns goes last
  if (removed.empty() || !may_command()) return;
  try {
    encode_unsubscribe(link_->output(), id);
    link_->flush_soon();
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): what still comes for it is dropped
  }
}

Published Connection::publish(std::string_view subject, std::span<const std::byte> payload,
                              std::string_view reply) noexcept {
  if (!is_subject(subject) || (!reply.empty() && !is_subject(reply))) return Published::bad_subject;
  if (phase_ != Phase::connected) return Published::not_connected;
  if (payload.size() > max_payload_) return Published::too_large;
  const std::size_t unsent = link_->unsent();
  const std::size_t size = subject.size() + reply.size() + payload.size() + kBesideSubjects;
  if (unsent != 0 && unsent + size > options_.max_unsent) {
    full_ = true;
    return Published::queue_full;
  }
  try {
    encode_publish(link_->output(), subject, reply, payload);
  } catch (const std::bad_alloc&) {
    return Published::no_memory;
  }
  link_->flush_soon();
  return Published::taken;
}

void Connection::close() noexcept {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  owner_ = nullptr;
  timer_.disarm();
  loop_->detach(*this);
  if (const auto link = std::move(link_)) link->close();
  const auto dropped = std::exchange(subscriptions_, {});
}

std::size_t Connection::link_received(std::string_view bytes) {
  const auto self = shared_from_this();
  const auto link = link_;
  heard_ = true;
  std::size_t taken = 0;
  while (link_ == link) {  // not lost, nor closed, by what was taken
    const Decoded decoded = decode(bytes.substr(taken), std::max(max_payload_, std::size_t{1} << 20));
    if (decoded.state == Decoded::State::incomplete) break;
    if (decoded.state == Decoded::State::broken) {
      lose(Error::make(Errc::bad_payload,
                       [&] { return "it breaks the protocol of NATS: " + std::string(decoded.violation); }));
      break;
    }
    taken += decoded.size;
    take(decoded.frame, taken == bytes.size());
  }
  return taken;
}

void Connection::take(const Frame& frame, bool is_last) {
  if (phase_ == Phase::meeting && frame.kind != Frame::Kind::info && frame.kind != Frame::Kind::error) {
    return lose(Error::make(Errc::bad_payload, [] { return "it does not begin with INFO, as a NATS server does"; }));
  }
  switch (frame.kind) {
    case Frame::Kind::info: return meet(frame.text, is_last);
    case Frame::Kind::message: return take_message(frame);
    case Frame::Kind::ping: return answer_ping();
    case Frame::Kind::pong:
      pinged_ = false;
      if (phase_ == Phase::introducing) welcomed();
      return;
    case Frame::Kind::error: return take_complaint(frame.text);
    case Frame::Kind::ok: return;
  }
}

// Before it is connected nobody expects any.
void Connection::take_message(const Frame& frame) {
  if (phase_ != Phase::connected) return;
  const auto at = subscriptions_.find(frame.subscription);
  if (at == subscriptions_.end()) return;
  const std::shared_ptr<Handler> handler = at->second.handler;  // may unsubscribe itself
  (*handler)(frame.message);
}

// A server that asks and never reads could fill our memory.
void Connection::answer_ping() {
  if (!may_command()) return;
  if (link_->unsent() > options_.max_unsent + max_payload_ + kAnswersBeyondLimit) {
    return lose(Error::make(Errc::bad_payload, [] { return "it asks for more answers than it reads"; }));
  }
  link_->output().append(kPong);
  link_->flush_soon();
}

void Connection::take_complaint(std::string_view text) {
  const std::string shown = printable(text);
  if (may_command() && (shown.starts_with("Permissions Violation") || shown.starts_with("Invalid "))) {
    return owner_->bus_refused(named(Error(Errc::pool_broken, "it forbids this to " + whom() + ": " + shown)));
  }
  if (shown.starts_with("Authorization ") || shown.find("Authentication") != std::string::npos) {
    return lose(Error(Errc::pool_broken, "it refuses " + whom() + ": " + shown +
                                             " (RemoteOptions::user and credentials_file say who connects)"));
  }
  lose(Error(Errc::end_of_stream, "it ends the connection: " + shown));
}

std::string Connection::whom() const {
  if (!options_.user.empty()) return "user \"" + options_.user + "\"";
  return options_.credentials_file.empty() ? "a client without a user"
                                           : "the user of \"" + options_.credentials_file + "\"";
}

void Connection::link_sent() {
  sent_ = true;
  if (!full_ || phase_ != Phase::connected || link_->unsent() > options_.max_unsent / 2) return;
  full_ = false;
  owner_->bus_has_room();
}

void Connection::look_for_life() {
  if (heard_) {
    pinged_ = false;
  } else if (pinged_ && !sent_) {
    return lose(Error::make(Errc::timed_out, [this] {
      return "nothing has come from it for " + in_words(2 * options_.keepalive) + ", and no answer to a ping";
    }));
  } else if (!pinged_) {
    link_->output().append(kPing);
    link_->flush_soon();
    pinged_ = true;
  }
  heard_ = sent_ = false;
  set_timer(options_.keepalive);
}

}  // namespace leasepool::detail::nats
