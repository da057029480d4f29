// A node's end of a lease.
#include "remote/node_lease.hpp"

#include <string>

#include "base/check.hpp"
#include "base/clock.hpp"

namespace leasepool::detail::remote {

void NodeLease::set_durations(const ExtendBody& durations, TimePoint now) noexcept {
  hard_expiry_ = deadline_after(deadline_after(now, durations.until_soft), durations.grace);
}

void NodeLease::receive(const Frame& frame, TimePoint now, NodeLeaseSink& sink) {
  if (frame.type == FrameType::end) return sink.end_came();
  const std::uint64_t received = session_.received();
  if (closed_ && frame.type != FrameType::marks) return;
  if (open_ >= kMaxOpenCalls && frame.type == FrameType::call) return;
  if (!session_.receive(frame, now)) return;
  check(session_.received() == received + 1, "an item is accepted after the one before it");
  ByteReader reader(frame.body);
  switch (frame.type) {
    case FrameType::part: return assembly_.add(frame.body);
    case FrameType::call: return take_call(frame, sink);
    case FrameType::cancel: return sink.cancel_came(get_number(reader));
    case FrameType::extend: {
      const ExtendBody extension = get_extend_body(reader);
      set_durations(extension, now);
      sink.extension_came(extension);
      session_.push(FrameType::extended, Bytes());
      return;
    }
    case FrameType::lend: {
      const LendBody lending = get_lend_body(reader);
      set_durations(lending.durations, now);
      return sink.lend_came(lending);
    }
    default: throw DecodeError("a manager sends no such item");
  }
}

// An honest manager keeps to the window, but for one call.
void NodeLease::take_call(const Frame& frame, NodeLeaseSink& sink) {
  ByteReader reader(frame.body);
  const CallHead head = get_call_head(reader);
  const auto arguments = assembly_.finish(get_rest(reader));
  if (!waiting_.empty() && waiting_bytes_ + arguments.size() > limits_.window) {
    throw DecodeError("more than " + std::to_string(limits_.window) + " bytes of calls that have not begun");
  }
  waiting_.emplace(frame.number, arguments.size());
  waiting_bytes_ += arguments.size();
  ++open_;
  last_call_ = frame.number;
  sink.call_came(frame.number, head, arguments);
}

void NodeLease::call_begun(std::uint64_t call) {
  const auto found = waiting_.find(call);
  if (found == waiting_.end()) return;  // it was encoded twice
  waiting_bytes_ -= found->second;
  begun_bytes_ += found->second;
  waiting_.erase(found);
  session_.set_begun(waiting_.empty() ? last_call_ : waiting_.begin()->first - 1);
  if (begun_bytes_ < limits_.window / 4) return;
  begun_bytes_ = 0;
  session_.want_marks();
}

void NodeLease::call_ended(const OutcomeHead& head, std::span<const std::byte> bytes) {
  check(open_ > 0 && !closed_, "a call ends once, and before its lease is closed");
  call_begun(head.call);
  --open_;
  push_in_parts(session_, FrameType::outcome, head, bytes, limits_.max_part);
}

void NodeLease::close(CloseReason reason) {
  if (closed_) return;
  check(open_ == 0, "a lease is closed when its calls have ended");
  Bytes body;
  put(body, ClosedBody{.reason = reason, .accepted = session_.received()});
  session_.push(FrameType::closed, std::move(body));
  closed_ = true;
}

}  // namespace leasepool::detail::remote
