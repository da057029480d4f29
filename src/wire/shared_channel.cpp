// Choosing the way of each frame, and bringing the two ways together.
#include "wire/shared_channel.hpp"

#include <new>
#include <string>

namespace leasepool::detail {

namespace {

Bytes empty_frame(FrameType type) {
  Bytes frame = begin_frame();
  finish_frame(frame, type, 0, 0);
  return frame;
}

}  // namespace

SharedChannel::SharedChannel(LoopCore& loop, UniqueFd socket, RingPair rings, std::size_t max_payload, Duration spin,
                             ChannelOwner& owner)
    : loop_(loop),
      channel_(std::make_shared<Channel>(loop, std::move(socket), max_payload, *this)),
      owner_(&owner),
      shares_memory_(rings.in != nullptr),
      spin_(spin),
      outgoing_(rings.out),
      incoming_(rings.in),
      decoder_(max_payload) {}

void SharedChannel::open(Channel::Receives what) { channel_->open(what); }

void SharedChannel::queue(Bytes& frame, Descriptors descriptors, std::uint64_t call_id) {
  if (shares_memory_ && !ended_) {
    try {
      const std::size_t room = outgoing_.room();
      if (descriptors.empty() && frame.size() + kReservedRoom <= room) return outgoing_.write(frame.view());
      static const Bytes kElsewhere = empty_frame(FrameType::elsewhere);
      if (room < kElsewhere.size()) throw DecodeError("it answered what it had not read");
      outgoing_.write(kElsewhere.view());
    } catch (const DecodeError& error) {  // told later, as everything is
      loop_.defer([weak = weak_from_this(), violation = std::string(error.what())] {
        if (const auto self = weak.lock()) self->end(violation);
      });
      return;
    }
  }
  channel_->queue(std::move(frame), std::move(descriptors), call_id);
}

void SharedChannel::flush() {
  if (shares_memory_) {
    outgoing_.publish();
    if (outgoing_.must_wake()) {
      channel_->queue(empty_frame(FrameType::wake));
      loop_.woke_worker();
    }
  }
  channel_->flush();
}

void SharedChannel::expect(bool some) {
  if (some == watched_) return;
  watched_ = some;
  if (shares_memory_) some ? loop_.watch(*this) : loop_.unwatch(*this);
  some ? loop_.expect(spin_) : loop_.came(spin_);
}

void SharedChannel::let_go() noexcept {
  owner_ = nullptr;
  expect(false);
  channel_->let_go();
}

bool SharedChannel::prepare_sleep() noexcept {
  if (elsewhere_ || ended_) return true;  // the socket's completion wakes the loop
  ++sleeps_;
  return incoming_.prepare_sleep();
}

void SharedChannel::look() noexcept {
  if (!shares_memory_) return;
  try {
    incoming_.look();
  } catch (const DecodeError&) {  // NOLINT(bugprone-empty-catch): found again, and told of, by collect()
  }
}

void SharedChannel::collect() {
  if (!shares_memory_ || collecting_) return;
  const auto self = shared_from_this();
  collecting_ = true;
  try {
    while (owner_ != nullptr && !ended_ && !elsewhere_) {
      if (const auto frame = decoder_.next()) {
        frame->type == FrameType::elsewhere ? void(elsewhere_ = true) : owner_->frame_received(*frame);
        continue;
      }
      const std::size_t size = incoming_.read(decoder_.space());
      if (size == 0) {
        incoming_.look();  // throws what look() could not
        break;
      }
      decoder_.filled(size);
    }
  } catch (const DecodeError& error) {
    end(error.what());
  } catch (const std::bad_alloc&) {
    end("no memory for a frame");
  }
  collecting_ = false;
}

void SharedChannel::frame_received(const Frame& frame) {
  if (owner_ == nullptr || ended_) return;
  if (frame.type == FrameType::wake) {
    if (++wakes_ > sleeps_) end("it woke who did not sleep");
    return;
  }
  if (!shares_memory_ || !std::exchange(opened_, true)) return owner_->frame_received(frame);
  const auto self = shared_from_this();
  look();
  collect();  // what came before it
  if (owner_ == nullptr || ended_) return;
  if (!std::exchange(elsewhere_, false)) return end("a frame through its socket that its ring does not announce");
  owner_->frame_received(frame);
  collect();  // what came behind it
}

void SharedChannel::channel_ended(std::string_view violation) {
  const auto self = shared_from_this();
  look();
  collect();
  end(violation);
}

void SharedChannel::descriptors_refused(std::uint64_t call_id, int error) {
  if (owner_ != nullptr) owner_->descriptors_refused(call_id, error);
}

void SharedChannel::end(std::string_view violation) {
  if (owner_ == nullptr || std::exchange(ended_, true)) return;
  owner_->channel_ended(violation);
}

}  // namespace leasepool::detail
