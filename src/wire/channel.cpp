// Receiving, sending in order, and the end of a channel.
#include "wire/channel.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/close_in_background.hpp"

namespace leasepool::detail {

namespace {

// The ring's lengths have 32 bits, and the kernel moves 2 GiB at once at most, less a page.
constexpr std::size_t kMaxAtOnce = std::size_t{1} << 30;

}  // namespace

Channel::Channel(LoopCore& loop, UniqueFd socket, std::size_t max_payload, ChannelOwner& owner)
    : loop_(loop), socket_(std::move(socket)), owner_(&owner), decoder_(max_payload, close_in_background) {}

// To close a socket closes the descriptors that are in it.
Channel::~Channel() {
  if (!drained_) close_in_background(std::move(socket_));
}

void Channel::open() { receive(); }

void Channel::receive() {
  check(!receiving_, "one receive is in flight at a time");
  const std::span<std::byte> space = decoder_.space();
  (void)decoder_.space_for_descriptors();
  receive_ = loop_.engine().recvmsg(socket_.get(),
                                    incoming_message_.to_receive(space.first(std::min(space.size(), kMaxAtOnce))),
                                    [self = shared_from_this()](Completion completion) { self->received(completion); });
  receiving_ = true;
}

void Channel::received(Completion completion) {
  check(std::exchange(receiving_, false), "what was received was asked for");
  if (completion.result > 0) take_in(static_cast<std::size_t>(completion.result));
  drained_ = completion.result == 0 || completion.result == -ECONNRESET;
  if (owner_ == nullptr) return;
  // Closed, or reset with the rest unread: the other end is gone.
  if (completion.result <= 0 && completion.result != -EINTR && completion.result != -EAGAIN) return end({});
  hand_over();
}

void Channel::take_in(std::size_t count) {
  decoder_.descriptors_came(incoming_message_.arrived(decoder_.space_for_descriptors()));
  decoder_.filled(count);
}

void Channel::hand_over() {
  try {
    while (!paused_) {
      const auto frame = decoder_.next();
      if (!frame) return receive();
      owner_->frame_received(*frame);
      if (owner_ == nullptr) return;
    }
  } catch (const DecodeError& error) {
    if (owner_ != nullptr) end(error.what());
  } catch (const std::bad_alloc&) {  // the length is the other end's to choose, up to the limit
    if (owner_ != nullptr) end("no memory for a frame");
  }
}

void Channel::go_on() {
  if (!std::exchange(paused_, false) || owner_ == nullptr || ended_ || receiving_) return;
  const auto self = shared_from_this();
  hand_over();
}

void Channel::end(std::string_view violation) {
  if (std::exchange(ended_, true)) return;
  owner_->channel_ended(violation);
}

void Channel::queue(Bytes frame, Descriptors descriptors, std::uint64_t number) {
  constexpr std::size_t kTogether = std::size_t{64} << 10;
  const std::size_t size = frame.size();
  const bool back_may_grow =
      outgoing_.size() > (sending_ == Sending::nothing ? 0U : 1U);  // the kernel reads what is being sent
  if (back_may_grow && descriptors.empty() && outgoing_.back().descriptors.empty() &&
      outgoing_.back().frame.size() + size <= kTogether) {
    outgoing_.back().frame.append(frame.view());
  } else {
    outgoing_.push_back({.frame = std::move(frame), .descriptors = std::move(descriptors), .number = number});
  }
  unsent_bytes_ += size;
}

bool Channel::wake() {
  if (unread_wakes_ == kMaxFramesUnderWay) return false;
  ++unread_wakes_;
  wake_.want();
  flush();
  return true;
}

void Channel::flush() {
  if (sending_ == Sending::nothing) send_next();
}

// A frame is not interrupted; else what wakes the other end comes first.
void Channel::send_next() {
  if (wake_.due() && sent_of_front_ == 0) {
    send_wake();
  } else if (!outgoing_.empty()) {
    send_front();
  }
}

// What is in flight keeps its buffer, so nothing else may be meanwhile.
void Channel::begin_sending() noexcept {
  check(sending_ == Sending::nothing, "one send is in flight at a time");
  sending_ = Sending::in_flight;
}

void Channel::end_sending() noexcept {
  check(sending_ == Sending::in_flight, "a send ends once");
  sending_ = Sending::nothing;
}

void Channel::send_wake() {
  try {
    send_ = loop_.engine().send(socket_.get(), wake_.left(),
                                [self = shared_from_this()](Completion completion) { self->woke(completion); });
    begin_sending();
    wake_.begun();
  } catch (const std::bad_alloc&) {
    stop_sending();
  }
}

void Channel::woke(Completion completion) {
  end_sending();
  if (completion.result < 0) {
    wake_.refused();
    return not_sent(completion.result, false);
  }
  tries_ = 0;
  unread_wakes_ = 0;
  wake_.sent(static_cast<std::size_t>(completion.result));
  if (owner_ != nullptr) send_next();
}

void Channel::send_front() {
  const Outgoing& front = outgoing_.front();
  const std::span<const std::byte> left = front.frame.view().subspan(sent_of_front_);
  const std::span<const std::byte> bytes = left.first(std::min(left.size(), kMaxAtOnce));
  auto handler = [self = shared_from_this()](Completion completion) { self->sent(completion); };
  try {
    if (front.descriptors.empty()) {
      send_ = loop_.engine().send(socket_.get(), bytes, std::move(handler));
    } else {
      send_ = loop_.engine().sendmsg(socket_.get(), outgoing_message_.to_send(bytes, front.descriptors),
                                     std::move(handler));
    }
    begin_sending();
  } catch (const std::bad_alloc&) {
    stop_sending();
  }
}

void Channel::sent(Completion completion) {
  end_sending();
  check(!outgoing_.empty(), "what was sent is the first of what waits");
  if (completion.result < 0) return not_sent(completion.result, !outgoing_.front().descriptors.empty());
  tries_ = 0;
  unread_wakes_ = 0;
  const auto count = static_cast<std::size_t>(completion.result);
  check(count <= outgoing_.front().frame.size() - sent_of_front_, "no more of a frame is sent than there is");
  check(count <= unsent_bytes_, "what waits to be sent is counted");
  outgoing_.front().descriptors.clear();  // they went with the first byte
  sent_of_front_ += count;
  unsent_bytes_ -= count;
  if (sent_of_front_ == outgoing_.front().frame.size()) {
    outgoing_.pop_front();
    sent_of_front_ = 0;
  }
  if (owner_ != nullptr) send_next();
}

// What the kernel had no room for is tried again; what it says of descriptors costs their frame; the rest is the end.
void Channel::not_sent(int result, bool with_descriptors) {
  constexpr unsigned kMaxTries = 10;  // of a frame's descriptors: a shortage that passes does so in a third of a second
  if (owner_ == nullptr) return;
  const int error = -result;
  if (error == EINTR) return send_next();
  const bool passes = error == EAGAIN || error == ENOBUFS || error == ENOMEM;
  if (passes && (!with_descriptors || tries_ < kMaxTries)) return try_later();
  const bool is_gone = error == EPIPE || error == ECONNRESET;
  with_descriptors && !is_gone ? refuse_front(error) : stop_sending();
}

void Channel::try_later() {
  constexpr Duration kFirstPause = std::chrono::milliseconds(1);
  constexpr unsigned kMaxDoublings = 6;
  const Duration pause = kFirstPause * (1U << std::min(tries_++, kMaxDoublings));
  check(sending_ == Sending::nothing, "nothing is in flight while a channel pauses");
  try {
    next_try_ = loop_.call_at(deadline_after(loop_.now(), pause), [self = shared_from_this()] {
      self->next_try_ = 0;
      self->sending_ = Sending::nothing;
      self->send_next();
    });
    sending_ = Sending::after_a_pause;
  } catch (const std::bad_alloc&) {
    send_next();
  }
}

void Channel::refuse_front(int error) {
  Outgoing& front = outgoing_.front();
  front.descriptors.clear();
  unsent_bytes_ -= front.frame.size() - kFrameHeaderSize;
  refuse_frame(front.frame);
  tries_ = 0;
  owner_->descriptors_refused(front.number, error);
  if (owner_ != nullptr) flush();
}

// The other end is gone, or takes nothing any more: either is the channel's end.
void Channel::stop_sending() {
  outgoing_.clear();
  sent_of_front_ = 0;
  unsent_bytes_ = 0;
  wake_.stop();
  finish();
}

// What was sent before stays readable after a shutdown, then comes the end of file.
void Channel::finish() noexcept { shut_down(); }

void Channel::detach() noexcept {
  owner_ = nullptr;
  loop_.cancel_timer(std::exchange(next_try_, 0));
  shut_down();
}

// Ends the receive and the send in flight, which close() alone would not. Where it is refused they are cancelled; the
// rest of what was sent is lost then.
void Channel::shut_down() noexcept {
  if (::shutdown(socket_.get(), SHUT_RDWR) == 0 || errno == ENOTCONN) return;
  loop_.engine().cancel(receive_);
  loop_.engine().cancel(send_);
}

}  // namespace leasepool::detail
