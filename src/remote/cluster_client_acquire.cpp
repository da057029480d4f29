// How a manager gets pools of nodes: whom it asks, which offer it takes, and what it is told where there is none.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/clock.hpp"
#include "remote/cluster_client.hpp"
#include "remote/subjects.hpp"
#include "shared/build_id.hpp"

namespace leasepool::detail::remote {

namespace {

// Who does not wait has an answer by then.
constexpr Duration kLongestAnswer = std::chrono::milliseconds(100);

// Nodes that are known at a time; those that lend nothing are forgotten first.
constexpr std::size_t kMaxNodes = 10'000;

// Of what is wanted a node that comes is told no more than so many, the oldest.
constexpr std::size_t kToldAtOnce = 64;

// For so long after another process of its machine has come a node is taken for replaced where nobody listens in its
// place: later it may as well be about to connect again.
constexpr Duration kReplaced = std::chrono::milliseconds(500);

// Begins the name of where it is heard that nobody listens to a want.
constexpr std::string_view kWanted = "want-";

// Bytes of wants in one message, about.
constexpr std::size_t kWantsTogether = std::size_t{32} << 10;

std::string wanted_reply(unsigned level, std::uint64_t bucket) {
  return std::string(kWanted) + std::to_string(level) + "-" + std::to_string(bucket);
}

// Of such a name; none where it is no such one.
std::optional<std::pair<unsigned, std::uint64_t>> wanted_of(std::string_view name) noexcept {
  if (!name.starts_with(kWanted)) return std::nullopt;
  unsigned level = 0;
  std::uint64_t bucket = 0;
  const char* const end = name.data() + name.size();
  const auto first = std::from_chars(name.data() + kWanted.size(), end, level);
  if (first.ec != std::errc() || first.ptr == end || level > kMaxLevel) return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, bucket);
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  return std::pair(level, bucket);
}

}  // namespace

std::optional<Duration> ClusterClient::longest_answer() const noexcept { return kLongestAnswer; }

void ClusterClient::seek(Borrower& borrower) {
  const TimePoint now = scheduler_->now();
  const std::uint64_t id = next_id();
  seeking_.emplace(id, Seeking{.borrower = &borrower, .since = now});
  try {
    wants_.want(id, now);
  } catch (const std::bad_alloc&) {
    seeking_.erase(id);
    throw;
  }
  pump_soon();
}

void ClusterClient::forget(const Borrower& borrower) noexcept {
  const auto sought =
      std::ranges::find_if(seeking_, [&](const auto& seeking) { return seeking.second.borrower == &borrower; });
  if (sought != seeking_.end()) {
    const std::uint64_t id = sought->first;
    seeking_.erase(sought);
    const Wants::Over over = wants_.unwant(id);
    tell_asked(id, over.asked);
    const auto taken_from = peers_.find(over.taken_from);
    if (taken_from != peers_.end() && connected()) say(taken_from->second, {.type = FrameType::end, .lease = id});
    return pump_soon();
  }
  for (auto& [node, peer] : peers_) {
    const auto has_it = std::ranges::find_if(peer.borrowers, [&](const auto& one) { return one.second == &borrower; });
    if (has_it == peer.borrowers.end()) continue;
    if (const auto lease = peer.link.leases.find(has_it->first); lease != peer.link.leases.end()) lease->second.end();
    peer.borrowers.erase(has_it);
    return pump_soon();
  }
}

// Those that still remember the want.
void ClusterClient::tell_asked(std::uint64_t want, const std::vector<Ask>& asked) noexcept {
  if (!connected()) return;
  try {
    for (const Ask& ask : asked) {
      say(want_subject(options_.cluster, options_.pool, ask.level, ask.bucket), 0,
          {.type = FrameType::unwant, .lease = want}, address_ + "some", [](Bytes&) {});
    }
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): they forget it by themselves
  }
}

ClusterClient::Peer& ClusterClient::peer_of(std::uint64_t node, const std::string& name) {
  if (const auto known = peers_.find(node); known != peers_.end()) return known->second;
  if (peers_.size() >= kMaxNodes) {
    std::erase_if(peers_, [](const auto& peer) { return peer.second.link.leases.empty(); });
    all_asked_at_.reset();
  }
  const TimePoint now = scheduler_->now();
  Peer peer{.name = name,
            .subject = node_subject(options_.cluster, name, node),
            .reply = address_ + std::to_string(node),
            .link = Link<ManagerLease>(instance_, node, Liveness(options_.node_timeout, options_.reconnect_grace, now),
                                       options_.heartbeat, now),
            .borrowers = {},
            .about = {},
            .round_trip = {},
            .asked_at = {},
            .busy = {},
            .last_heard = now};
  nobody_listens_ = false;
  return peers_.emplace(node, std::move(peer)).first->second;
}

// A process has begun to lend on a machine: another one there may have been restarted, and the server is asked whether
// it is still there. Not where all have just lost the server and are about to connect again.
void ClusterClient::look_for_replaced(std::string_view host, std::uint64_t by, TimePoint now) noexcept {
  if (now < deadline_after(reconnected_at_, kReplaced)) return;
  for (auto& [node, peer] : peers_) {
    if (node == by || host_of(peer.name) != host) continue;
    peer.replaced_until = deadline_after(now, kReplaced);
    peer.link.beat_now();
  }
}

// A node has come: it hears at once what is wanted.
void ClusterClient::take_join(const nats::BusMessage& message) {
  try {
    MessageReader reader(message.payload);
    const auto frame = reader.next();
    if (!frame || frame->type != FrameType::join) throw DecodeError("no node that comes");
    ByteReader body(frame->body);
    const OfferBody joined = get_offer_body(body);
    if (!is_token(joined.node)) throw DecodeError("a node's name that is no token of a subject");
    const Peer& peer = peer_of(reader.from(), joined.node);
    wants_.node_came();
    const TimePoint now = scheduler_->now();
    if (frame->number != 0) look_for_replaced(host_of(joined.node), reader.from(), now);
    for (const std::uint64_t want : wants_.untaken(kToldAtOnce)) {
      say(peer.subject, reader.from(), {.type = FrameType::want, .lease = want}, peer.reply, [&](Bytes& out) {
        put(out, WantBody{.age = now - seeking_.at(want).since,
                          .lasts = Wants::kRepeat,
                          .waits = now >= hurry_until_,
                          .build = build_});
      });
    }
  } catch (const DecodeError&) {
    ++refused_;
  } catch (const std::bad_alloc&) {
    ++refused_;  // as one that was lost
  }
  pump_soon();
}

void ClusterClient::take_offer(std::uint64_t from, const Frame& frame) {
  ByteReader reader(frame.body);
  const OfferBody body = get_offer_body(reader);
  if (!is_token(body.node)) throw DecodeError("a node's name that is no token of a subject");
  Peer& peer = peer_of(from, body.node);
  peer.busy.reset();
  peer.asked_at.reset();
  wants_.answered(frame.lease);
  const TimePoint now = scheduler_->now();
  if (!peer.fits || !wants_.take(frame.lease, from, frame.number, now)) {
    return say(peer, {.type = FrameType::decline, .lease = frame.lease, .number = frame.number});
  }
  // Until it is lent it lasts as long as this manager is heard.
  say(peer.subject, from, {.type = FrameType::take, .lease = frame.lease, .number = frame.number}, peer.reply,
      [this](Bytes& out) {
        put(out, TakeBody{.durations = {.until_soft = Duration::max(), .grace = {}},
                          .owner = manager_,
                          .window = options_.window,
                          .max_payload = max_payload_});
      });
}

void ClusterClient::take_grant(Peer& peer, const Frame& frame) {
  ByteReader reader(frame.body);
  const GrantBody about = get_grant_body(reader);
  const std::uint64_t node = peer.link.peer();
  const TimePoint now = scheduler_->now();
  if (peer.link.leases.contains(frame.lease)) return;  // said twice
  if (about.format != GrantBody::kFormat || (build_ != 0 && about.build != build_)) {
    if (std::exchange(peer.fits, false)) {
      log_.tell(LogLevel::warning, [&] {
        return "node " + peer.name + " lends nothing to this manager: " +
               (about.format != GrantBody::kFormat
                    ? "it encodes arguments otherwise (another version of leasepool, or another kind of machine)"
                    : "it is build " + (about.build == 0 ? std::string("unknown") : build_text(about.build)) +
                          ", and RemoteOptions::match = build takes only " + build_text(build_));
      });
    }
    say(peer, {.type = FrameType::end, .lease = frame.lease});
    const auto seeking = seeking_.find(frame.lease);
    if (seeking == seeking_.end()) return;
    return renew(seeking);
  }
  const auto seeking = seeking_.find(frame.lease);
  if (seeking == seeking_.end()) return say(peer, {.type = FrameType::end, .lease = frame.lease});
  const LeaseLimits limits{.window = std::min(options_.window, static_cast<std::size_t>(about.window)),
                           .max_payload = max_payload_,
                           .max_part = std::min(kMaxPart, bus_->max_payload() / 2)};
  Borrower& borrower = *seeking->second.borrower;
  const bool is_first = peer.link.leases.empty();
  std::string name = peer.name;
  const auto lease = peer.link.leases.try_emplace(frame.lease, frame.lease, limits).first;
  const auto forget_it = [&] {
    peer.borrowers.erase(frame.lease);
    peer.link.leases.erase(frame.lease);
  };
  try {
    peer.borrowers.emplace(frame.lease, &borrower);
  } catch (const std::bad_alloc&) {  // another one is sought when this want is overdue
    forget_it();
    throw;
  }
  const auto asked = wants_.granted(frame.lease, node);
  if (!asked) {
    forget_it();
    return say(peer, {.type = FrameType::end, .lease = frame.lease});
  }
  peer.about = about;
  seeking_.erase(seeking);
  tell_asked(frame.lease, *asked);
  if (is_first) {
    peer.link.liveness.heard(now);
    peer.link.beat_now();
  }
  borrower.granted({.lease = lease->second, .node = std::move(name), .about = *peer.about});
}

void ClusterClient::hurry(TimePoint until) noexcept {
  hurry_until_ = std::max(hurry_until_, until);
  wants_.ask_youngest_again(scheduler_->now());  // who has it heard of already has not said whether he is busy
  pump_soon();
}

// Those that are known are to answer. All are, a moment after all were asked, as those that come say so.
void ClusterClient::note_asked(const Ask& ask, TimePoint now) noexcept {
  for (auto& [node, peer] : peers_) {
    if (bucket_of(node, ask.level) == ask.bucket && !peer.asked_at) peer.asked_at = now;
  }
  const bool knows_all = all_asked_at_ && now < deadline_after(*all_asked_at_, kRemembered);
  if (ask.level == 0 && !knows_all) all_asked_at_ = now;
}

// A node says that it has no pool. Where all that are known and were asked have, others are asked; and where those were
// all that there are, nobody has one. Who has not answered for long is not waited for.
void ClusterClient::node_is_busy(std::uint64_t want) {
  wants_.answered(want);
  const std::optional<Ask> ask = wants_.asked_last(want);
  const TimePoint now = scheduler_->now();
  if (!ask || now >= hurry_until_) return;
  for (const auto& [node, peer] : peers_) {
    if (bucket_of(node, ask->level) != ask->bucket || !peer.fits || !peer.asked_at) continue;
    if (now < deadline_after(*peer.asked_at, kLongestAnswer)) return;
  }
  if (ask->level != 0) return wants_.ask_more(want, now);
  if (!all_asked_at_ || now < deadline_after(*all_asked_at_, kLongestAnswer)) return;
  if (auto queued = reports_none_free_.to_queue(shared_from_this())) scheduler_->defer(std::move(queued));
}

void ClusterClient::report_none_free() {
  if (bus_ && none_free_) none_free_(wants_.taken());
}

// The server says that nobody listens to a subject of wants.
void ClusterClient::nobody_was_asked(std::string_view whom) noexcept {
  const std::optional<std::pair<unsigned, std::uint64_t>> subject = wanted_of(whom);
  if (!subject) return;
  const auto [level, bucket] = *subject;
  wants_.nobody_listens(level, bucket, scheduler_->now());
  if (level != 0) return seeking_.empty() && level > wants_.first_level() ? look_for_nodes() : void();
  nobody_listens_ = true;
  if (auto queued = reports_none_free_.to_queue(shared_from_this())) scheduler_->defer(std::move(queued));
}

// A message without a want: the server says whether nobody hears it, if it can. So about how many nodes there are is
// known before a pool is wanted.
void ClusterClient::look_for_nodes() noexcept {
  const unsigned level = wants_.first_level();
  const std::uint64_t bucket = random_() >> (63 - level) >> 1U;
  try {
    (void)bus_->publish(want_subject(options_.cluster, options_.pool, level, bucket),
                        MessageWriter(instance_, 0).bytes(), address_ + wanted_reply(level, bucket));
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): who wants a pool finds out
  }
}

// What is wanted now, in one message to those who listen to one subject.
void ClusterClient::ask(TimePoint now) {
  std::map<std::pair<unsigned, std::uint64_t>, MessageWriter> messages;
  const auto publish = [this](const std::pair<unsigned, std::uint64_t>& to, const MessageWriter& message) {
    const auto& [level, bucket] = to;
    (void)bus_->publish(want_subject(options_.cluster, options_.pool, level, bucket), message.bytes(),
                        address_ + wanted_reply(level, bucket));
  };
  for (const Ask& ask : wants_.due(now)) {
    if (now < hurry_until_) note_asked(ask, now);
    Bytes body;
    put(body, WantBody{.age = now - seeking_.at(ask.want).since,
                       .lasts = ask.lasts,
                       .waits = now >= hurry_until_ && !ask.answers,
                       .build = build_});
    const auto message = messages.try_emplace({ask.level, ask.bucket}, instance_, 0).first;
    message->second.add({.type = FrameType::want, .lease = ask.want, .body = body.view()});
    if (message->second.size() < kWantsTogether) continue;
    publish(message->first, message->second);
    messages.erase(message);
  }
  for (const auto& [to, message] : messages) publish(to, message);
}

// A node that does not answer may have handed the pool over all the same: that lease is ended, and another one wanted.
void ClusterClient::renew_overdue(TimePoint now) {
  for (const std::uint64_t id : wants_.overdue(now)) renew(seeking_.find(id));
}

void ClusterClient::renew(std::map<std::uint64_t, Seeking>::iterator seeking) {
  const auto [old, sought] = *seeking;
  const std::uint64_t id = next_id();
  const auto anew = seeking_.emplace(id, sought).first;
  try {
    wants_.want(id, sought.since);
  } catch (const std::bad_alloc&) {
    seeking_.erase(anew);
    throw;
  }
  seeking_.erase(seeking);
  const Wants::Over over = wants_.unwant(old);
  tell_asked(old, over.asked);
  const auto taken_from = peers_.find(over.taken_from);
  if (taken_from != peers_.end()) say(taken_from->second, {.type = FrameType::end, .lease = old});
}

}  // namespace leasepool::detail::remote
