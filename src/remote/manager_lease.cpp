// A manager's end of a lease.
#include "remote/manager_lease.hpp"

#include <string>

#include "base/check.hpp"

namespace leasepool::detail::remote {

std::uint64_t ManagerLease::push(const CallHead& head, std::span<const std::byte> arguments) {
  check(open(), "calls are for a lease that is open");
  const std::uint64_t call = push_in_parts(session_, FrameType::call, head, arguments, limits_.max_part);
  open_calls_.emplace(call, arguments.size());
  waiting_.emplace(call, arguments.size());
  waiting_bytes_ += arguments.size();
  return call;
}

void ManagerLease::cancel(std::uint64_t call) {
  if (!open()) return;
  Bytes body;
  put_number(body, call);
  session_.push(FrameType::cancel, std::move(body));
}

void ManagerLease::extend(const ExtendBody& extension) {
  if (!open()) return;
  Bytes body;
  put(body, extension);
  session_.push(FrameType::extend, std::move(body));
}

void ManagerLease::lend(const LendBody& lending) {
  if (!open()) return;
  Bytes body;
  put(body, lending);
  session_.push(FrameType::lend, std::move(body));
}

void ManagerLease::end() noexcept {
  if (!open()) return;
  state_ = State::ending;
  says_end_ = true;
}

void ManagerLease::receive(const Frame& frame, TimePoint now, ManagerLeaseSink& sink) {
  if (frame.type == FrameType::gone) {
    const bool was_open = open();
    state_ = State::closed;
    says_end_ = false;
    if (was_open) sink.lease_closed(CloseReason::ended);
    return;
  }
  if (!open()) return;
  if (!session_.receive(frame, now)) {
    while (!waiting_.empty() && waiting_.begin()->first <= begun()) forget_waiting(waiting_.begin()->first);
    return;
  }
  ByteReader reader(frame.body);
  switch (frame.type) {
    case FrameType::part: return assembly_.add(frame.body);
    case FrameType::outcome: return take_outcome(frame.body, sink);
    case FrameType::extended: return sink.extension_holds();
    case FrameType::closed: {
      const ClosedBody body = get_closed_body(reader);
      accepted_at_most_ = body.accepted;
      state_ = State::closed;
      says_end_ = true;  // once: the node can forget it
      return sink.lease_closed(body.reason);
    }
    default: throw DecodeError("a node sends no such item");
  }
}

void ManagerLease::take_outcome(std::span<const std::byte> body, ManagerLeaseSink& sink) {
  ByteReader reader(body);
  const OutcomeHead head = get_outcome_head(reader);
  const auto bytes = assembly_.finish(get_rest(reader));
  if (open_calls_.erase(head.call) == 0) {
    throw DecodeError("an outcome of call " + std::to_string(head.call) + ", which is none, or has one");
  }
  forget_waiting(head.call);
  sink.outcome_came(head, bytes);
}

void ManagerLease::forget_waiting(std::uint64_t call) noexcept {
  const auto found = waiting_.find(call);
  if (found == waiting_.end()) return;
  waiting_bytes_ -= found->second;
  waiting_.erase(found);
}

void ManagerLease::write(MessageWriter& message, std::size_t limit) {
  if (open()) return session_.write(message, limit);
  message.add({.type = FrameType::end, .lease = session_.lease(), .number = 0, .body = {}});
  says_end_ = false;
}

}  // namespace leasepool::detail::remote
