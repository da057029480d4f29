// What callers and workers of the simulation do.
#include "session_sides.hpp"

#include <algorithm>
#include <utility>

namespace leasepool::test {

using namespace std::chrono_literals;
using Said = SessionModel::Said;

SimManagerSide::SimManagerSide(SessionWorld& world, std::uint64_t self, std::uint64_t node)
    : link(self, node, remote::Liveness(kNodeTimeout, kGrace, world.scheduler.now()), 250ms, world.scheduler.now()),
      world_(world),
      self_(self),
      node_(node) {}

void SimManagerSide::Held::outcome_came(const remote::OutcomeHead& head, std::span<const std::byte> bytes) {
  const auto found = sent.find(head.call);
  SessionModel::require(found != sent.end(), "an outcome is of a call that was sent");
  const bool is_value = head.kind == remote::OutcomeKind::value;
  SessionModel::require(!is_value || (bytes.size() >= 8 && static_cast<std::uint64_t>(bytes[0]) == found->second % 256),
                        "a value is that of its call");
  if (!cancelled.contains(head.call)) {
    world.model.said(found->second, is_value ? Said::value : head.may_have_run ? Said::may_have_run : Said::not_run);
  }
  sent.erase(found);
}

void SimManagerSide::begin_lease(std::uint64_t lease, Duration hard_expiry) {
  link.leases.try_emplace(lease, lease, kSmallLimits);
  auto held = std::make_unique<Held>(world_, lease);
  held->hard_expiry = world_.scheduler.now() + hard_expiry;
  if (held_.empty()) link.liveness.heard(world_.scheduler.now());
  held_.emplace(lease, std::move(held));
  pump();
}

std::vector<std::uint64_t> SimManagerSide::leases() const {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, held] : held_) ids.push_back(id);
  return ids;
}

bool SimManagerSide::has_open_calls() const {
  return std::ranges::any_of(held_, [](const auto& lease) {
    const Held& held = *lease.second;
    return !held.waiting.empty() || !held.sent.empty();
  });
}

void SimManagerSide::submit(std::uint64_t lease, std::size_t size) {
  const auto held = held_.find(lease);
  if (held == held_.end()) return;
  held->second->waiting.emplace_back(world_.model.made(), size);
}

void SimManagerSide::hand_over(Held& held, remote::ManagerLease& lease) {
  while (!held.waiting.empty() && lease.has_room(8 + held.waiting.front().second)) {
    const auto [id, size] = held.waiting.front();
    held.waiting.pop_front();
    detail::Bytes arguments;
    remote::put_number(arguments, id);
    arguments.resize(8 + size);
    std::fill_n(arguments.data() + 8, size, std::byte{7});
    held.sent.emplace(lease.push({.function = id}, arguments.view()), id);
  }
}

// A caller takes one back: at once, and what is certain is said.
void SimManagerSide::cancel(std::uint64_t id) {
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  Held& held = *found->second;
  for (const auto& [number, call] : held.sent) {
    if (held.cancelled.contains(number) || world_.pick(3) != 0) continue;
    remote::ManagerLease& lease = link.leases.at(id);
    held.cancelled.insert(number);
    lease.cancel(number);
    world_.model.said(call, Said::may_have_run);
    break;
  }
}

void SimManagerSide::extend(std::uint64_t id, Duration by) {
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  found->second->hard_expiry = world_.scheduler.now() + by;
  link.leases.at(id).extend({.until_soft = by, .grace = {}});
}

void SimManagerSide::fail_all(Held& held, const remote::ManagerLease& lease) {
  for (const auto& [id, size] : std::exchange(held.waiting, {})) world_.model.said(id, Said::not_run);
  for (const auto& [number, id] : std::exchange(held.sent, {})) {
    if (held.cancelled.contains(number)) continue;
    world_.model.said(id, lease.may_have_run(number) ? Said::may_have_run : Said::not_run);
  }
}

void SimManagerSide::end_lease(std::uint64_t id) {
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  remote::ManagerLease& lease = link.leases.at(id);
  fail_all(*found->second, lease);
  held_.erase(found);
  lease.end();
}

void SimManagerSide::expire() {
  const TimePoint now = world_.scheduler.now();
  for (const std::uint64_t id : leases()) {
    if (held_.at(id)->hard_expiry <= now) end_lease(id);
  }
  if (link.leases.empty() || !link.liveness.lost(now)) return;
  nodes_lost += held_.empty() ? 0U : 1U;
  for (const std::uint64_t id : leases()) end_lease(id);
  link.leases.clear();
}

void SimManagerSide::receive(std::span<const std::byte> message) {
  link.liveness.heard(world_.scheduler.now());
  remote::MessageReader reader(message);
  while (const auto frame = reader.next()) {
    remote::ManagerLease* const lease = link.lease_of(*frame);
    if (lease == nullptr) continue;
    const auto held = held_.find(frame->lease);
    Held nobody(world_, frame->lease);
    lease->receive(*frame, world_.scheduler.now(), held == held_.end() ? nobody : *held->second);
  }
  pump();
}

void SimManagerSide::nobody_listens() {
  link.liveness.nobody_listens(world_.scheduler.now());
  arm();
}

void SimManagerSide::look_after_leases() {
  for (const std::uint64_t id : leases()) {
    const auto held = held_.find(id);
    remote::ManagerLease& lease = link.leases.at(id);
    if (held->second->over) {
      fail_all(*held->second, lease);
      held_.erase(held);
    } else {
      hand_over(*held->second, lease);
    }
  }
}

void SimManagerSide::pump() {
  if (dead) return;
  expire();
  look_after_leases();
  const auto publish = [this](std::span<const std::byte> message) { return world_.publish(true, message); };
  link.write(world_.scheduler.now(), kSmallMessage, publish);
  std::erase_if(link.leases, [this](const auto& lease) {
    if (lease.second.finished()) resent += lease.second.resent();
    return lease.second.finished();
  });
  arm();
}

void SimManagerSide::arm() {
  world_.scheduler.cancel_timer(timer_);
  timer_ = 0;
  if (dead || link.leases.empty()) return;
  TimePoint next = std::min(link.next_beat(), link.liveness.lost_at());
  for (const auto& [id, held] : held_) next = std::min(next, held->hard_expiry);
  timer_ = world_.scheduler.call_at(std::max(next, world_.scheduler.now()), [self = shared_from_this()] {
    self->timer_ = 0;
    self->world_.run_timer(true, [self] { self->pump(); });
  });
}

void SimManagerSide::die() {
  dead = true;
  arm();
  for (const auto& [lease, held] : held_) {
    for (const auto& [id, size] : held->waiting) world_.model.abandoned(id);
    for (const auto& [number, id] : held->sent) {
      if (!held->cancelled.contains(number)) world_.model.abandoned(id);
    }
  }
}

SimNodeSide::SimNodeSide(SessionWorld& world, std::uint64_t self, std::uint64_t manager)
    : link(self, manager, remote::Liveness(kCallerTimeout, Duration::max(), world.scheduler.now()), 250ms,
           world.scheduler.now()),
      world_(world),
      self_(self),
      manager_(manager) {}

void SimNodeSide::begin_lease(std::uint64_t id, Duration hard_expiry) {
  const TimePoint now = world_.scheduler.now();
  if (held_.empty()) link.liveness.heard(now);
  const auto lease = link.leases.try_emplace(id, id, kSmallLimits, remote::ExtendBody{.until_soft = hard_expiry}, now);
  auto held = std::make_unique<Held>(*this);
  held->lease = &lease.first->second;
  held_.emplace(id, std::move(held));
  pump();
}

void SimNodeSide::Held::call_came(std::uint64_t call, const remote::CallHead& head,
                                  std::span<const std::byte> arguments) {
  detail::ByteReader reader(arguments);
  SessionModel::require(remote::get_number(reader) == head.function, "arguments are those of their call");
  SessionModel::require(std::ranges::all_of(arguments.subspan(8), [](std::byte b) { return b == std::byte{7}; }),
                        "arguments arrive whole");
  waiting.emplace_back(call, head.function);
}

void SimNodeSide::Held::cancel_came(std::uint64_t call) {
  const auto queued = std::ranges::find(waiting, call, [](const auto& entry) { return entry.first; });
  if (queued != waiting.end()) {
    waiting.erase(queued);
    node.answer(*this, call, remote::OutcomeKind::failure, false, 0);
  } else if (running.erase(call) != 0) {
    node.answer(*this, call, remote::OutcomeKind::failure, true, 0);
  }
}

void SimNodeSide::answer(Held& held, std::uint64_t call, remote::OutcomeKind kind, bool may_have_run,
                         std::size_t size) {
  detail::Bytes bytes;
  remote::put_number(bytes, size);
  bytes.resize(8 + size);
  if (size != 0) std::fill_n(bytes.data(), bytes.size(), static_cast<std::byte>(size - 1));
  held.lease->call_ended({.call = call, .kind = kind, .may_have_run = may_have_run}, bytes.view());
}

void SimNodeSide::run_some(std::uint64_t id) {
  Held& held = *held_.at(id);
  while (!held.waiting.empty() && held.running.size() < kWorkers) {
    const auto entry = held.waiting.front();  // number and id
    held.waiting.pop_front();
    held.running.insert(entry);
    world_.model.ran(entry.second);
    held.lease->call_begun(entry.first);
    const auto time = std::chrono::microseconds(world_.pick(4) == 0 ? world_.pick(2'000'000) : world_.pick(5000));
    auto ends = [self = shared_from_this(), id, entry] { self->ended(id, entry.first, entry.second); };
    world_.scheduler.call_at(world_.scheduler.now() + time, [self = shared_from_this(), ends = std::move(ends)] {
      self->world_.run_timer(false, ends);
    });
  }
}

void SimNodeSide::ended(std::uint64_t id, std::uint64_t number, std::uint64_t call) {
  const auto found = held_.find(id);
  if (dead || found == held_.end() || found->second->running.erase(number) == 0) return;
  const bool crashed = world_.pick(20) == 0;
  answer(*found->second, number, crashed ? remote::OutcomeKind::failure : remote::OutcomeKind::value, true,
         call % 256 + 1);
  pump();
}

void SimNodeSide::kill_all(Held& held) {
  for (const auto& [number, call] : std::exchange(held.waiting, {})) {
    answer(held, number, remote::OutcomeKind::failure, false, 0);
  }
  for (const auto& [number, call] : std::exchange(held.running, {})) {
    answer(held, number, remote::OutcomeKind::failure, true, 0);
  }
}

void SimNodeSide::close(std::uint64_t id, remote::CloseReason reason) {
  kill_all(*held_.at(id));
  held_.at(id)->lease->close(reason);
  held_.erase(id);
}

void SimNodeSide::stop_now() {
  while (!held_.empty()) close(held_.begin()->first, remote::CloseReason::stopped);
  pump();
}

void SimNodeSide::receive(std::span<const std::byte> message) {
  link.liveness.heard(world_.scheduler.now());
  remote::MessageReader reader(message);
  while (const auto frame = reader.next()) {
    remote::NodeLease* const lease = link.lease_of(*frame);
    if (lease == nullptr) continue;
    Held nobody(*this);
    const auto held = held_.find(frame->lease);
    Held& sink = held == held_.end() ? nobody : *held->second;
    lease->receive(*frame, world_.scheduler.now(), sink);
    if (!sink.ended) continue;
    held_.erase(frame->lease);
    link.leases.erase(frame->lease);
    (void)link.lease_of(*frame);  // says that it is gone
  }
  pump();
}

void SimNodeSide::look_after_leases() {
  const TimePoint now = world_.scheduler.now();
  if (!link.leases.empty() && link.liveness.lost(now)) {
    held_.clear();
    link.leases.clear();
  }
  for (auto at = held_.begin(); at != held_.end();) {
    const std::uint64_t id = at->first;
    ++at;
    if (held_.at(id)->lease->hard_expiry() <= now) {
      close(id, remote::CloseReason::expired);
    } else {
      run_some(id);
    }
  }
}

void SimNodeSide::pump() {
  if (dead) return;
  look_after_leases();
  const auto publish = [this](std::span<const std::byte> message) { return world_.publish(false, message); };
  link.write(world_.scheduler.now(), kSmallMessage, publish);
  std::erase_if(link.leases, [](const auto& lease) { return lease.second.finished(); });
  arm();
}

void SimNodeSide::arm() {
  world_.scheduler.cancel_timer(timer_);
  timer_ = 0;
  if (dead || link.leases.empty()) return;
  TimePoint next = std::min(link.next_beat(), link.liveness.lost_at());
  for (const auto& [id, held] : held_) next = std::min(next, held->lease->hard_expiry());
  timer_ = world_.scheduler.call_at(std::max(next, world_.scheduler.now()), [self = shared_from_this()] {
    self->timer_ = 0;
    self->world_.run_timer(false, [self] { self->pump(); });
  });
}

}  // namespace leasepool::test
