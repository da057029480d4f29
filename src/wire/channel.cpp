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

void Channel::open() { receive(); }

void Channel::receive() {
  loop_.ring().recv(socket_.get(), decoder_.space(),
                    [self = shared_from_this()](Completion completion) { self->received(completion); });
}

void Channel::received(Completion completion) {
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

void Channel::queue(Bytes frame) {
  constexpr std::size_t kTogether = std::size_t{64} << 10;
  const bool back_may_grow = outgoing_.size() > (sending_ ? 1U : 0U);  // the kernel reads what is being sent
  if (back_may_grow && outgoing_.back().size() + frame.size() <= kTogether) {
    outgoing_.back().append(frame.view());
  } else {
    outgoing_.push_back(std::move(frame));
  }
}

void Channel::flush() {
  if (!sending_ && !outgoing_.empty()) send_front();
}

void Channel::send_front() {
  sending_ = true;
  loop_.ring().send(socket_.get(), outgoing_.front().view().subspan(sent_of_front_),
                    [self = shared_from_this()](Completion completion) { self->sent(completion); });
}

void Channel::sent(Completion completion) {
  sending_ = false;
  if (completion.result == -EINTR || completion.result == -EAGAIN) return send_front();
  if (completion.result < 0) {  // the other end is gone, or takes nothing any more: either is the channel's end
    outgoing_.clear();
    sent_of_front_ = 0;
    return finish();
  }
  sent_of_front_ += static_cast<std::size_t>(completion.result);
  if (sent_of_front_ == outgoing_.front().size()) {
    outgoing_.pop_front();
    sent_of_front_ = 0;
  }
  if (!outgoing_.empty() && owner_ != nullptr) send_front();
}

// What was sent before stays readable after a shutdown, then comes the end of file.
void Channel::finish() noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

void Channel::let_go() noexcept {
  owner_ = nullptr;
  ::shutdown(socket_.get(), SHUT_RDWR);  // ends the receive and the send in flight; close() alone would not
}

}  // namespace leasepool::detail
