// A session's frames.
#include "remote/session.hpp"

#include <algorithm>

namespace leasepool::detail::remote {

namespace {

// Number: the last item received. The body: the last item sent, begun, and whether something is missing.
constexpr std::size_t kMarksBody = 3 * sizeof(std::uint64_t);

}  // namespace

bool Session::receive(const Frame& frame, TimePoint now) {
  if (frame.type == FrameType::marks) {
    take_marks(frame, now);
    return false;
  }
  switch (receiver_.receive(frame.number)) {
    case NumberedReceiver::Verdict::is_next: break;
    case NumberedReceiver::Verdict::repeat: marks_wanted_ = true; return false;  // the last marks may be lost
    case NumberedReceiver::Verdict::gap: report_gap(now); return false;
  }
  misses_some_ = false;
  unacknowledged_ += frame.body.size() + kFrameHeaderSize;
  if (unacknowledged_ >= window_ / 4) marks_wanted_ = true;
  return true;
}

void Session::take_marks(const Frame& frame, TimePoint now) {
  ByteReader reader(frame.body);
  const std::uint64_t sent = get_number(reader);
  const std::uint64_t begun = get_number(reader);
  const bool misses_some = get_number(reader) != 0;
  sender_.acknowledged(frame.number);
  begun_there_ = std::max(begun_there_, std::min(begun, sender_.last_sent()));
  if (misses_some) sender_.missing(now);
  if (sent > receiver_.received()) report_gap(now);
}

// At once, but not again while what was missing may be on its way: where both ends miss something, each report would
// bring the next.
void Session::report_gap(TimePoint now) noexcept {
  misses_some_ = true;
  const bool is_known = reported_gap_ == receiver_.received() && now - gap_reported_ < NumberedSender::kPause;
  if (is_known) return;
  reported_gap_ = receiver_.received();
  gap_reported_ = now;
  marks_wanted_ = true;
}

void Session::write(MessageWriter& message, std::size_t limit) {
  constexpr std::size_t kMarks = kFrameHeaderSize + kMarksBody;
  while (const NumberedSender::Item* const item = sender_.due()) {
    const bool fits = message.size() + kFrameHeaderSize + item->body.size() + kMarks <= limit;
    if (!fits && !message.empty()) return;
    message.add({.type = item->type, .lease = lease_, .number = sender_.due_number(), .body = item->body.view()});
    sender_.sent();
    marks_wanted_ = true;
  }
  if (marks_wanted_ && (message.size() + kMarks <= limit || message.empty())) write_marks(message);
}

void Session::write_marks(MessageWriter& message) {
  Bytes body;
  put_number(body, sender_.last_sent());
  put_number(body, begun_);
  put_number(body, misses_some_ ? 1 : 0);
  message.add({.type = FrameType::marks, .lease = lease_, .number = receiver_.received(), .body = body.view()});
  marks_wanted_ = false;
  misses_some_ = false;
  unacknowledged_ = 0;
}

}  // namespace leasepool::detail::remote
