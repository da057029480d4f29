// From a pause to a connection that stands, and back.
#include <algorithm>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/in_words.hpp"
#include "io/io_checks.hpp"
#include "io/socket_address.hpp"
#include "leasepool/detail/access.hpp"
#include "nats/connection.hpp"
#include "nats/credentials.hpp"
#include "nats/server_info.hpp"

namespace leasepool::detail::nats {

namespace {

// Of what is written as numbers, for which nobody needs to be asked.
std::optional<Address> numeric_address(const Server& server) {
  try {
    return to_address(SocketAddress("connect", Endpoint{.host = server.host, .port = server.port}));
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

}  // namespace

void Connection::set_timer(Duration delay) noexcept {
  timer_.set(deadline_after(loop_->now(), delay), [this] {
    timer_.came();
    const auto self = shared_from_this();
    timer_came();
  });
}

void Connection::timer_came() {
  try {
    if (phase_ == Phase::pausing) return start_attempt();
    if (phase_ == Phase::connected) return look_for_life();
    lose(late());
  } catch (const std::bad_alloc&) {
    lose(Error::out_of_memory());
  }
}

void Connection::start_attempt() {
  server_ = &servers_[next_server_];
  next_server_ = (next_server_ + 1) % servers_.size();
  ++attempt_;
  address_.clear();
  addresses_.clear();
  attempt_deadline_ = deadline_after(loop_->now(), options_.attempt_timeout);
  phase_ = Phase::looking_up;
  set_timer(options_.attempt_timeout);
  look_up();
}

void Connection::look_up() {
  if (auto address = numeric_address(*server_)) {
    addresses_.push_back(*std::move(address));
    return connect_to_next();
  }
  // A resolver that hangs keeps its thread: none is started behind it.
  if (!lookup_.expired()) {
    return lose(Error::make(Errc::timed_out, [] { return "a name is still being looked up from an attempt before"; }));
  }
  const auto lookup = std::make_shared<HostLookup>(
      loop_->inbox(), server_->host, std::to_string(server_->port),
      [weak = weak_from_this(), attempt = attempt_](Result<HostLookup::Addresses> addresses) {
        if (const auto self = weak.lock()) self->found(attempt, std::move(addresses));
      });
  lookup_ = lookup;
  if (!resolver_.add(lookup)) lose(failed_call(EAGAIN, "a thread to look up its name"));
}

void Connection::found(std::uint64_t attempt, Result<HostLookup::Addresses> addresses) {
  if (attempt != attempt_ || phase_ != Phase::looking_up) return;
  if (!addresses) return lose(addresses.error());
  addresses_ = *std::move(addresses);
  std::ranges::reverse(addresses_);
  try {
    connect_to_next();
  } catch (const std::bad_alloc&) {
    lose(Error::out_of_memory());
  }
}

// Each address has its share of the time that is left.
void Connection::connect_to_next() {
  check(!addresses_.empty(), "a name that was found has an address");
  const auto shares = static_cast<Duration::rep>(addresses_.size());
  const Address address = std::move(addresses_.back());
  addresses_.pop_back();
  address_ = address.host == server_->host ? std::string() : address.text();
  phase_ = Phase::connecting;
  if (link_) link_->abort();
  link_ = std::make_shared<Link>(loop_, static_cast<LinkOwner&>(*this));
  const TimePoint now = loop_->now();
  link_->connect(SocketAddress("connect", address.endpoint()),
                 deadline_after(now, std::max(attempt_deadline_ - now, Duration::zero()) / shares));
}

void Connection::link_connected() { phase_ = Phase::meeting; }

bool Connection::wants_tls() const noexcept {
  return server_->tls || !options_.ca_file.empty() || !options_.cert_file.empty();
}

// Also what a server says anew while it is connected: then its bound may be another.
void Connection::meet(std::string_view text, bool is_last) {
  const auto info = parse_server_info(text);
  if (!info) {
    return lose(Error::make(Errc::bad_payload, [] { return "its INFO is no JSON as a NATS server sends it"; }));
  }
  max_payload_ = info->max_payload;
  if (phase_ != Phase::meeting) return;
  if (!info->headers) {
    return lose(Error(Errc::unsupported, "it is too old (version \"" + info->version +
                                             "\"), or has no_header_support: "
                                             "it must be 2.2 or newer, with headers"));
  }
  nonce_ = info->nonce;
  has_tls_ = info->tls_required || (wants_tls() && info->tls_available);
  if (!has_tls_ && wants_tls()) {
    return lose(
        Error(Errc::pool_broken, "it offers no TLS, which " +
                                     std::string(server_->tls ? "tls://" : "a ca_file or cert_file in RemoteOptions") +
                                     " asks for"));
  }
  if (!has_tls_) return introduce();
  // What somebody on the way put in before TLS must not be taken for the server's words.
  if (!is_last) return lose(Error::make(Errc::bad_payload, [] { return "it says something before TLS begins"; }));
  secure();
}

void Connection::secure() {
  Result<std::unique_ptr<TlsSession>> session =
      TlsSession::make({.ca = options_.ca_file, .cert = options_.cert_file, .key = options_.key_file}, server_->host);
  if (!session) return lose(session.error());
  phase_ = Phase::securing;
  link_->start_tls(*std::move(session));
}

void Connection::link_secured() {
  const auto self = shared_from_this();
  introduce();
}

void Connection::introduce() {
  const Result<Credentials> credentials = Credentials::read(options_.user, options_.credentials_file);
  if (!credentials) return lose(credentials.error());
  Greeting greeting;
  greeting.name = options_.name;
  greeting.tls = has_tls_;
  if (const Result<void> added = credentials->add_to(greeting, nonce_); !added) return lose(added.error());
  std::string& out = link_->output();
  encode_connect(out, greeting);
  for (const auto& [id, subscription] : subscriptions_) encode_subscribe(out, subscription.pattern, id);
  out.append(kPing);
  link_->flush_soon();
  phase_ = Phase::introducing;
}

void Connection::welcomed() {
  phase_ = Phase::connected;
  backoff_.connected(loop_->now());
  full_ = heard_ = sent_ = pinged_ = false;
  set_timer(options_.keepalive);
  owner_->bus_connected();
}

void Connection::link_failed(const Error& error) {
  const auto self = shared_from_this();
  if (phase_ != Phase::connecting || addresses_.empty()) return lose(error);
  try {
    connect_to_next();
  } catch (const std::bad_alloc&) {
    lose(Error::out_of_memory());
  }
}

void Connection::lose(const Error& reason) noexcept {
  const Error said = named(reason);
  const TimePoint now = loop_->now();
  const Duration pause = phase_ == Phase::connected ? backoff_.after_loss(now) : backoff_.after_failure(now);
  phase_ = Phase::pausing;
  if (const auto link = std::move(link_)) link->abort();
  set_timer(pause);
  owner_->bus_disconnected(said);
}

Error Connection::named(const Error& reason) const noexcept {
  return Access::with_message(reason, [&] {
    return "NATS server " + server_->text() + (address_.empty() ? "" : " (" + address_ + ")") + ": " + reason.message();
  });
}

std::string_view Connection::awaited() const noexcept {
  switch (phase_) {
    case Phase::looking_up: return "the addresses of its name";
    case Phase::connecting: return "a connection to it";
    case Phase::meeting: return "its INFO, with which a NATS server begins,";
    case Phase::securing: return "its part of TLS";
    default: return "its answer to CONNECT";
  }
}

Error Connection::late() const noexcept {
  return Error::make(Errc::timed_out, [this] {
    return std::string(awaited()) + " did not come within " + in_words(options_.attempt_timeout);
  });
}

}  // namespace leasepool::detail::nats
