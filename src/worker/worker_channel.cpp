// Reading and writing on both ways.
#include "worker/worker_channel.hpp"

#include <malloc.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <ctime>
#include <new>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "base/is_socket.hpp"
#include "shared/call_errors.hpp"
#include "shared/exception_codec.hpp"
#include "shared/registry.hpp"

namespace leasepool::detail {

namespace {

// What is short for a moment is there again after a few of these.
constexpr timespec kMoment{.tv_sec = 0, .tv_nsec = 1'000'000};
constexpr int kMaxPauses = 20;

// Of one call on a socket. Nothing is lost with a worker that receives no call; with one that cannot send, its result
// is.
constexpr int kMaxShortagesToReceive = 50;
constexpr int kMaxShortagesToSend = 200;
class Retries {
 public:
  explicit Retries(int most_shortages) noexcept : shortages_left_(most_shortages) {}

  // Whether it is to be tried again: after a signal, when there is room, or when the system has had a moment to find
  // memory, but not for ever.
  [[nodiscard]] bool passes(int error, int socket, short events) noexcept {
    switch (error) {
      case EINTR: return true;
      case EAGAIN: {
        pollfd until{.fd = socket, .events = events, .revents = 0};
        (void)::poll(&until, 1, -1);
        return true;
      }
      case ENOBUFS:
      case ENOMEM:
        if (shortages_left_-- == 0) return false;
        (void)::nanosleep(&kMoment, nullptr);
        return true;
      default: return false;
    }
  }

 private:
  int shortages_left_;
};

// What is sent in the place of a result whose descriptors the kernel refused.
void refuse(const Frame& call, int error, Bytes& reply) {
  const std::string_view function = find_function_by_id(call.function_id)->name;
  const Error failure = Error::make(
      Errc::bad_payload, [&] { return refused_descriptors_error(function, "sending its result", error).message(); });
  begin_frame_in(reply);
  const std::size_t room = reply.capacity() - kFrameHeaderSize - kFailureOverhead;
  try {
    encode_failure(reply, Errc::bad_payload, failure.message());
  } catch (const std::bad_alloc&) {
    begin_frame_in(reply);
    encode_failure(reply, Errc::bad_payload, std::string_view(failure.message()).substr(0, room));
  }
  finish_frame(reply, FrameType::failure, call.call_id, 0);
}

}  // namespace

int send_whole(int socket, std::span<const std::byte> left) noexcept {
  Retries retries(kMaxShortagesToSend);
  while (!left.empty()) {
    const ssize_t sent = ::send(socket, left.data(), left.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      left = left.subspan(static_cast<std::size_t>(sent));
    } else if (!retries.passes(errno, socket, POLLOUT)) {
      return errno;
    }
  }
  return 0;
}

// Where memory is limited or watched, none is kept that no function needs.
WorkerChannel::WorkerChannel(UniqueFd socket, StatusPage& status, UniqueFd status_file, const WorkerSettings& settings)
    : socket_(std::move(socket)),
      status_(status),
      status_file_(shares_memory() ? std::move(status_file) : UniqueFd()),
      keeps_memory_(settings.memory == WorkerSettings::kNoLimit && settings.reports_memory == 0),
      decoder_(settings.max_payload),
      calls_(status.calls()),
      outcomes_(status.outcomes()),
      ring_decoder_(settings.max_payload),
      spin_(Duration(static_cast<std::int64_t>(settings.spin))) {}

void WorkerChannel::reserve() {
  (void)decoder_.space();
  if (shares_memory()) (void)ring_decoder_.space();
}

int WorkerChannel::try_to_receive() noexcept {
  constexpr int kFlags = MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
  std::byte byte{};
  iovec part{.iov_base = &byte, .iov_len = 1};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  const ssize_t received = carries_descriptors() ? ::recvmsg(socket_.get(), &header, kFlags)
                                                 : ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (received >= 0) return 0;
  const bool will_pass = errno == EAGAIN || errno == EINTR || errno == ENOMEM || errno == ENOBUFS;
  return will_pass || errno == ECONNRESET ? 0 : errno;
}

// Nothing is lost where memory is short for a moment: each step is taken again. Where it stays short, the call ends
// this process, and the parent is told why.
std::optional<Frame> WorkerChannel::next_call(const std::atomic<std::uint64_t>& claim) {
  next_claim_ = &claim;
  if (!keeps_memory_ && arguments_.size() != 0) release_memory();
  for (int pauses = 0;; ++pauses) {
    try {
      auto frame = next_frame();
      if (frame && frame->type == FrameType::large_call) find_arguments(*frame);
      return frame;
    } catch (const std::bad_alloc&) {
      if (pauses == kMaxPauses) end_for_want_of_memory(pending_call_id());
      (void)::nanosleep(&kMoment, nullptr);
    }
  }
}

// Of the frame that is not complete; 0 if that is not known.
std::uint64_t WorkerChannel::pending_call_id() const noexcept {
  return shares_memory() && !via_socket_ ? ring_decoder_.pending_call_id() : decoder_.pending_call_id();
}

std::optional<Frame> WorkerChannel::next_frame() {
  if (!early_) decoder_.end_frame();  // before others come, which may need the room
  if (!shares_memory()) return next_from_socket();
  for (;;) {
    if (via_socket_) {
      auto frame = next_from_socket();
      via_socket_ = false;
      return frame;
    }
    if (const auto frame = ring_decoder_.next()) {
      if (frame->type != FrameType::via_socket) return frame;
      via_socket_ = true;
    } else if (!take_from_ring() && !wait_for_ring()) {
      return std::nullopt;
    }
  }
}

// Makes it a frame as any other.
void WorkerChannel::find_arguments(Frame& call) {
  std::size_t size = 0;
  ByteReader(call.payload).read(&size, sizeof size);
  if (size > arguments_.size()) {
    arguments_ = ArgumentMemory();
    arguments_ = ArgumentMemory(status_file_.get(), StatusPage::kArgumentsOffset, size);
    if (arguments_.size() == 0) end_for_want_of_memory(call.call_id);
    if (keeps_memory_) keep_memory_for(size);
  }
  call.type = FrameType::call;
  call.payload = arguments_.first(size);
}

// What the arguments are decoded into. The C library does so by itself up to 32 MiB, and returns what is larger to the
// system at once, to get it anew for the next call.
void WorkerChannel::keep_memory_for([[maybe_unused]] std::size_t size) {
#ifdef __GLIBC__
  constexpr std::size_t kKeptAnyway = std::size_t{32} << 20;
  if (size < kKeptAnyway) return;
  ::mallopt(M_MMAP_THRESHOLD, INT_MAX);
  ::mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
}

void WorkerChannel::release_memory() {
  arguments_ = ArgumentMemory();
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

std::optional<Frame> WorkerChannel::next_from_socket() {
  while (!decode_from_socket()) {
    if (!receive()) return std::nullopt;
  }
  return std::exchange(early_, std::nullopt);
}

// Whether there is a call; what was sent to wake this process has done so.
bool WorkerChannel::decode_from_socket() {
  while (!early_) {
    early_ = decoder_.next();
    if (!early_) return false;
    if (early_->type == FrameType::wake) early_.reset();
  }
  return true;
}

bool WorkerChannel::take_from_ring() {
  __builtin_prefetch(next_claim_, 1);
  calls_.refresh();
  const std::size_t size = calls_.read(ring_decoder_.space());
  ring_decoder_.filled(size);
  return size != 0;
}

// False when the parent has closed the channel: that, and that there is something in the ring, comes by the socket to
// who sleeps.
bool WorkerChannel::wait_for_ring() {
  if (std::exchange(has_waited_, true) && spin_.spin([this] { return calls_.ready(); })) return true;
  if (!calls_.prepare_park()) return true;
  const TimePoint asleep = monotonic_now();
  if (arguments_.size() != 0 && !something_comes_soon()) release_memory();
  const bool open = receive();
  calls_.cancel_park();
  spin_.slept(monotonic_now() - asleep);
  if (open) (void)decode_from_socket();
  return open;
}

bool WorkerChannel::something_comes_soon() const {
  constexpr int kKeptFor =
      static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(ArgumentMemory::kKeptFor).count());
  pollfd socket{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&socket, 1, kKeptFor);
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

void WorkerChannel::reply(const Frame& call, Reply& reply) {
  if (shares_memory() && write_to_ring(reply)) return;
  const int error = send(reply);
  if (error == 0) return;
  refuse(call, error, reply.frame);
  send(reply.frame.view());
}

// False if it has to go through the socket; the ring then says so.
bool WorkerChannel::write_to_ring(const Reply& reply) {
  static const EmptyFrame kViaSocket = empty_frame(FrameType::via_socket);
  static const EmptyFrame kWake = empty_frame(FrameType::wake);
  const std::size_t wanted = reply.frame.size() + kReservedRoom;
  const std::size_t room = outcomes_.room(wanted);
  const bool fits = reply.descriptors.empty() && wanted <= room;
  if (!fits && room < kFrameHeaderSize) ::_exit(kChannelBroken);  // the parent asks for more than it takes
  outcomes_.write(fits ? reply.frame.view() : kViaSocket);
  outcomes_.publish();
  if (fits && outcomes_.must_wake()) send(kWake);
  return fits;
}

void WorkerChannel::end_for_want_of_memory(std::uint64_t call_id) {
  if (call_id != 0) status_->begun.store(call_id);
  status_->out_of_memory.store(call_id != 0 ? call_id : WorkerStatus::kBetweenCalls);
  ::_exit(kChannelBroken);
}

bool WorkerChannel::receive() {
  const std::span<std::byte> space = decoder_.space();
  const bool with_descriptors = carries_descriptors();
  if (with_descriptors) (void)decoder_.space_for_descriptors();
  ssize_t received = 0;
  Retries retries(kMaxShortagesToReceive);
  do {
    received = with_descriptors ? ::recvmsg(socket_.get(), message_.to_receive(space), MSG_CMSG_CLOEXEC)
                                : ::recv(socket_.get(), space.data(), space.size(), 0);
  } while (received < 0 && retries.passes(errno, socket_.get(), POLLIN));
  if (received < 0 && errno != ECONNRESET) end_without_channel(errno);
  if (received <= 0) return false;
  decoder_.filled(static_cast<std::size_t>(received));
  if (with_descriptors) decoder_.descriptors_came(message_.arrived(decoder_.space_for_descriptors()));
  return true;
}

// The parent is gone, or a function closed or changed what was not its own.
void WorkerChannel::end_without_channel(int error) const {
  if (error == EBADF || error == ENOTSOCK) {
    status_->lost_channel.store(1);
  } else if (error != EPIPE && error != ECONNRESET) {
    status_->channel_error.store(error);
  }
  ::_exit(kChannelBroken);
}

// Returns the errno for which the kernel refused the descriptors; then nothing has been sent.
int WorkerChannel::send(const Reply& reply) {
  std::span<const std::byte> left = reply.frame.view();
  if (!reply.descriptors.empty()) {
    const msghdr* const message = message_.to_send(left, reply.descriptors);
    ssize_t sent = 0;
    int error = 0;
    Retries retries(kMaxShortagesToSend);
    do {
      sent = ::sendmsg(socket_.get(), message, MSG_NOSIGNAL);
      error = sent < 0 ? errno : 0;
    } while (error != 0 && retries.passes(error, socket_.get(), POLLOUT));
    if (error == EPIPE || error == ECONNRESET || (error != 0 && !is_socket(socket_.get()))) end_without_channel(error);
    if (error != 0) return error;
    left = left.subspan(static_cast<std::size_t>(sent));
  }
  send(left);
  return 0;
}

void WorkerChannel::send(std::span<const std::byte> whole) const {
  if (const int error = send_whole(socket_.get(), whole); error != 0) end_without_channel(error);
}

bool WorkerChannel::first_frame(const std::function<void(const Frame&)>& use) {
  FrameDecoder decoder(SIZE_MAX / 2);
  std::swap(decoder, decoder_);
  std::optional<Frame> frame = decoder_.next();
  while (!frame && receive()) frame = decoder_.next();
  if (frame) use(*frame);
  std::swap(decoder, decoder_);
  return frame.has_value();
}

}  // namespace leasepool::detail
