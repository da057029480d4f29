// Receiving, sending in order, and the end of a channel.
#include "wire/channel.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace leasepool::detail {

Channel::Channel(LoopCore& loop, UniqueFd socket, std::size_t max_payload, ChannelOwner& owner)
    : loop_(loop), socket_(std::move(socket)), owner_(&owner), decoder_(max_payload) {}

void Channel::open(Receives what) {
  receives_ = what;
  receive();
}

void Channel::receive() {
  auto handler = [self = shared_from_this()](Completion completion) { self->received(completion); };
  if (receives_ == Receives::bytes) {
    loop_.ring().recv(socket_.get(), decoder_.space(), std::move(handler));
  } else {
    loop_.ring().recvmsg(socket_.get(), incoming_message_.to_receive(decoder_.space()), std::move(handler));
  }
}

void Channel::received(Completion completion) {
  if (receives_ == Receives::descriptors && completion.result > 0) decoder_.came_with(incoming_message_.arrived());
  if (owner_ == nullptr) return;
  if (completion.result == -EINTR || completion.result == -EAGAIN) return receive();
  if (completion.result <= 0) return end({});  // closed, or reset with the rest unread: the other end is gone
  decoder_.filled(static_cast<std::size_t>(completion.result));
  try {
    while (auto frame = decoder_.next()) {
      owner_->frame_received(*frame);
      if (owner_ == nullptr) return;
    }
    receive();
  } catch (const DecodeError& error) {
    if (owner_ != nullptr) end(error.what());
  } catch (const std::bad_alloc&) {  // the length is the other end's to choose, up to the limit
    if (owner_ != nullptr) end("no memory for a frame");
  }
}

void Channel::end(std::string_view violation) {
  if (std::exchange(ended_, true)) return;
  owner_->channel_ended(violation);
}

void Channel::queue(Bytes frame, Descriptors descriptors, std::uint64_t call_id) {
  constexpr std::size_t kTogether = std::size_t{64} << 10;
  const bool back_may_grow = outgoing_.size() > (sending_ ? 1U : 0U);  // the kernel reads what is being sent
  if (back_may_grow && descriptors.empty() && outgoing_.back().descriptors.empty() &&
      outgoing_.back().frame.size() + frame.size() <= kTogether) {
    outgoing_.back().frame.append(frame.view());
  } else {
    outgoing_.push_back({.frame = std::move(frame), .descriptors = std::move(descriptors), .call_id = call_id});
  }
}

void Channel::flush() {
  if (!sending_ && !outgoing_.empty()) send_front();
}

void Channel::send_front() {
  sending_ = true;
  const Outgoing& front = outgoing_.front();
  const std::span<const std::byte> bytes = front.frame.view().subspan(sent_of_front_);
  auto handler = [self = shared_from_this()](Completion completion) { self->sent(completion); };
  if (front.descriptors.empty()) {
    loop_.ring().send(socket_.get(), bytes, std::move(handler));
  } else {
    loop_.ring().sendmsg(socket_.get(), outgoing_message_.to_send(bytes, front.descriptors), std::move(handler));
  }
}

void Channel::sent(Completion completion) {
  sending_ = false;
  if (completion.result == -EINTR || completion.result == -EAGAIN) return send_front();
  if (completion.result < 0) {
    const bool is_gone = completion.result == -EPIPE || completion.result == -ECONNRESET;
    if (is_gone || outgoing_.front().descriptors.empty()) return stop_sending();
    const std::uint64_t call_id = outgoing_.front().call_id;
    drop_front();
    if (owner_ != nullptr) owner_->descriptors_refused(call_id, -completion.result);
  } else {
    outgoing_.front().descriptors.clear();  // they went with the first byte
    sent_of_front_ += static_cast<std::size_t>(completion.result);
    if (sent_of_front_ == outgoing_.front().frame.size()) drop_front();
  }
  if (!outgoing_.empty() && owner_ != nullptr && !sending_) send_front();
}

void Channel::drop_front() {
  outgoing_.pop_front();
  sent_of_front_ = 0;
}

// The other end is gone, or takes nothing any more: either is the channel's end.
void Channel::stop_sending() {
  outgoing_.clear();
  sent_of_front_ = 0;
  finish();
}

// What was sent before stays readable after a shutdown, then comes the end of file.
void Channel::finish() noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

void Channel::let_go() noexcept {
  owner_ = nullptr;
  ::shutdown(socket_.get(), SHUT_RDWR);  // ends the receive and the send in flight; close() alone would not
}

}  // namespace leasepool::detail
