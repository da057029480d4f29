// Descriptors beside frames: each frame gets those that it announces, nothing that is sent or received is leaked, and
// what does not match is found out.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"
#include "wire/channel_harness.hpp"
#include "wire/message.hpp"

using leasepool::Fd;
using leasepool::detail::Bytes;
using leasepool::detail::Channel;
using leasepool::detail::DecodeError;
using leasepool::detail::Descriptors;
using leasepool::detail::Frame;
using leasepool::detail::FrameDecoder;
using leasepool::detail::FrameType;
using leasepool::detail::kFrameHeaderSize;
using leasepool::detail::kMaxDescriptors;
using leasepool::test::ChannelHarness;
using leasepool::test::eventually;
using leasepool::test::feed_once;
using leasepool::test::open_descriptors;

namespace {

Bytes frame_announcing(std::size_t descriptors, std::uint64_t call_id = 1, std::size_t payload = 8) {
  Bytes frame = leasepool::detail::begin_frame();
  frame.append(leasepool::test::pattern(payload));
  finish_frame(frame, FrameType::value, call_id, 0, descriptors);
  return frame;
}

Descriptors some_descriptors(std::size_t count) {
  Descriptors made;
  for (std::size_t i = 0; i < count; ++i) made.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return made;
}

void feed(FrameDecoder& decoder, std::span<const std::byte> bytes, std::size_t descriptors, bool some_lost = false) {
  for (Fd& fd : some_descriptors(descriptors)) decoder.space_for_descriptors().push_back(std::move(fd));
  decoder.descriptors_came(some_lost);
  REQUIRE(feed_once(decoder, bytes, SIZE_MAX) == bytes.size());
}

// Sends it as a worker would.
void send_with(int socket, const Bytes& frame, const Descriptors& descriptors) {
  leasepool::detail::Message message;
  REQUIRE(::sendmsg(socket, message.to_send(frame.view(), descriptors), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(frame.size()));
}

// What came with a frame that nobody takes descriptors out of.
struct Seen {
  std::size_t descriptors = 0;
  std::size_t lost = 0;
  bool lost_here = false;
  bool operator==(const Seen&) const = default;
};
class CountingOwner final : public leasepool::detail::ChannelOwner {
 public:
  void frame_received(const Frame& frame) override {
    seen.push_back({frame.descriptors.size(), frame.lost_descriptors, frame.lost_here});
    for (Fd& fd : frame.descriptors) {
      if (keeps) kept.push_back(std::move(fd));
    }
  }
  void channel_ended(std::string_view violation) override { ends.emplace_back(violation); }
  void descriptors_refused(std::uint64_t /*number*/, int error) override { refusals.push_back(error); }
  bool keeps = false;
  std::vector<Seen> seen;
  Descriptors kept;
  std::vector<std::string> ends;
  std::vector<int> refusals;
};

// A channel that receives descriptors; the test has the other end.
struct Fixture {
  Fixture() {
    harness.channel->detach();
    leasepool::test::SocketPair sockets;
    channel = std::make_shared<Channel>(harness.core(), std::move(sockets.ours), std::size_t{1} << 20, owner);
    theirs = std::move(sockets.theirs);
    channel->open();
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  ~Fixture() {
    if (channel) channel->detach();
    channel.reset();
    CHECK(harness.drive_until([&] { return harness.in_flight() == 0; }));
  }
  ChannelHarness harness;
  CountingOwner owner;
  std::shared_ptr<Channel> channel;
  Fd theirs;
};

}  // namespace

TEST_CASE("each frame gets the descriptors that it announces", "[frame][fd]") {
  const auto before = open_descriptors();
  {
    FrameDecoder decoder(1000);
    Bytes bytes = frame_announcing(0, 1);
    bytes.append(frame_announcing(2, 2).view());
    feed(decoder, bytes.view(), 2);
    CHECK(decoder.next()->descriptors.empty());
    const auto frame = decoder.next();
    REQUIRE(frame->descriptors.size() == 2);
    CHECK(frame->lost_descriptors == 0);
    const Fd kept = std::move(frame->descriptors[1]);
    CHECK_FALSE(decoder.next().has_value());
    CHECK(open_descriptors().size() == before.size() + 1);  // the other is closed
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

TEST_CASE("descriptors wait for a frame that comes in pieces", "[frame][fd]") {
  for (const std::size_t first : {std::size_t{1}, kFrameHeaderSize - 1, kFrameHeaderSize, kFrameHeaderSize + 3}) {
    FrameDecoder decoder(1000);
    const Bytes bytes = frame_announcing(3);
    feed(decoder, bytes.view().first(first), 3);
    CHECK_FALSE(decoder.next().has_value());
    feed(decoder, bytes.view().subspan(first), 0);
    CHECK(decoder.next()->descriptors.size() == 3);
  }
}

TEST_CASE("a frame tells how many descriptors it lacks, and whether they were lost here", "[frame][fd]") {
  for (const bool lost_here : {false, true}) {
    FrameDecoder decoder(1000);
    const Bytes bytes = frame_announcing(3);
    feed(decoder, bytes.view(), 1, lost_here);
    const auto frame = decoder.next();
    CHECK(frame->descriptors.size() == 1);
    CHECK(frame->lost_descriptors == 2);
    CHECK(frame->lost_here == lost_here);
    feed(decoder, bytes.view(), 0);  // a loss is of one frame
    CHECK_FALSE(decoder.next()->lost_here);
  }
}

TEST_CASE("descriptors that no frame announces are refused", "[frame][fd]") {
  const auto before = open_descriptors();
  {
    const auto [announced, came, lost, bytes] =
        GENERATE(std::tuple(0U, 1U, false, 40U), std::tuple(0U, 0U, true, 40U), std::tuple(2U, 3U, false, 40U),
                 std::tuple(2U, 3U, false, 35U), std::tuple(2U, 2U, true, 35U), std::tuple(0U, 254U, false, 5U));
    CAPTURE(announced, came, lost, bytes);
    FrameDecoder decoder(1000);
    feed(decoder, frame_announcing(announced).view().first(bytes), came, lost);
    CHECK_THROWS_AS(decoder.next() && decoder.next(), DecodeError);
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

// They come with the read that ends the frame before.
TEST_CASE("what a frame has lost is not made up for by the descriptors of the one behind it", "[frame][fd]") {
  for (const bool second_lost_too : {false, true}) {
    FrameDecoder decoder(1000);
    const Bytes first = frame_announcing(2, 1);
    const Bytes second = frame_announcing(2, 2);
    feed(decoder, first.view().first(kFrameHeaderSize), 1, true);
    CHECK_FALSE(decoder.next().has_value());
    Bytes rest;
    rest.append(first.view().subspan(kFrameHeaderSize));
    rest.append(second.view());
    feed(decoder, rest.view(), second_lost_too ? 1 : 2, second_lost_too);
    const auto one = decoder.next();
    REQUIRE(one.has_value());
    CHECK((one->descriptors.size() == 1 && one->lost_descriptors == 1 && one->lost_here));
    const auto two = decoder.next();
    REQUIRE(two.has_value());
    CHECK(two->descriptors.size() == (second_lost_too ? 1 : 2));
    CHECK(two->lost_here == second_lost_too);
    CHECK_FALSE(decoder.next().has_value());
  }
}

TEST_CASE("a frame that announces more than the kernel passes is refused by its header", "[frame][fd]") {
  Bytes frame = frame_announcing(kMaxDescriptors);
  frame.data()[6] = std::byte{254};
  FrameDecoder decoder(1000);
  feed(decoder, frame.view().first(kFrameHeaderSize), 0);
  CHECK_THROWS_WITH(decoder.next(), ContainsSubstring("254") && ContainsSubstring("253"));
}

TEST_CASE("descriptors arrive with their frame, close-on-exec, as many as the kernel passes", "[channel][fd]") {
  const auto before = open_descriptors();
  {
    Fixture fixture;
    fixture.owner.keeps = true;
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, kMaxDescriptors}) {
      send_with(fixture.theirs.get(), frame_announcing(count), some_descriptors(count));
    }
    REQUIRE(fixture.harness.drive_until([&] { return fixture.owner.seen.size() == 3; }));
    CHECK(fixture.owner.seen == std::vector<Seen>{{}, {.descriptors = 1}, {.descriptors = kMaxDescriptors}});
    for (const Fd& fd : fixture.owner.kept) CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

TEST_CASE("descriptors are sent with the first byte of their frame, however long it is", "[channel][fd]") {
  const auto before = open_descriptors();
  {
    Fixture sender;
    Fixture receiver;
    std::swap(sender.theirs, receiver.theirs);  // each test's end is now the other's: bytes go by hand
    const Bytes small = frame_announcing(1, 1);
    const std::size_t size = std::size_t{1} << 20;  // more than a socket takes at once
    sender.channel->send(frame_announcing(2, 2, size), some_descriptors(2));
    sender.channel->send(frame_announcing(0, 3));
    sender.channel->send(frame_announcing(1, 4), some_descriptors(1));
    FrameDecoder decoder(size);
    std::vector<std::size_t> counts;
    leasepool::detail::Message message;
    CHECK(sender.harness.drive_until([&] {
      const ssize_t count =
          ::recvmsg(receiver.theirs.get(), message.to_receive(decoder.space()), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (count > 0) {
        const bool some_lost = message.arrived(decoder.space_for_descriptors());
        CHECK_FALSE(some_lost);
        decoder.descriptors_came(some_lost);
        decoder.filled(static_cast<std::size_t>(count));
        while (const auto frame = decoder.next()) counts.push_back(frame->descriptors.size());
      }
      return counts.size() == 3;
    }));
    CHECK(counts == std::vector<std::size_t>{2, 0, 1});
    std::swap(sender.theirs, receiver.theirs);
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

TEST_CASE("descriptors that find no room are counted as lost, and cost nothing else", "[channel][fd]") {
  const auto before = open_descriptors();
  {
    Fixture fixture;
    send_with(fixture.theirs.get(), frame_announcing(8), some_descriptors(8));
    rlimit old{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
    const Fd lowest_free(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const rlimit few{.rlim_cur = static_cast<rlim_t>(lowest_free.get()) + 4, .rlim_max = old.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    const bool came = fixture.harness.drive_until([&] { return fixture.owner.seen.size() == 1; });
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
    REQUIRE(came);
    const Seen seen = fixture.owner.seen.front();
    CHECK(seen.descriptors < 8);
    CHECK(seen.descriptors + seen.lost == 8);
    CHECK(seen.lost_here);
    send_with(fixture.theirs.get(), frame_announcing(8), some_descriptors(8));
    REQUIRE(fixture.harness.drive_until([&] { return fixture.owner.seen.size() == 2; }));
    CHECK(fixture.owner.seen.back() == Seen{.descriptors = 8});
    CHECK(fixture.owner.ends.empty());
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

TEST_CASE("a channel ends with descriptors that no frame announces, and closes them", "[channel][fd]") {
  const auto before = open_descriptors();
  {
    Fixture fixture;
    send_with(fixture.theirs.get(), frame_announcing(0), some_descriptors(2));
    REQUIRE(fixture.harness.drive_until([&] { return !fixture.owner.ends.empty(); }));
    CHECK(fixture.owner.ends == std::vector<std::string>{"descriptors that no frame announces"});
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

TEST_CASE("a frame whose descriptors the kernel refuses leaves an empty one in its place, and those behind it go",
          "[channel][fd]") {
  const auto before = open_descriptors();
  {
    Fixture fixture;
    Bytes in_its_place = frame_announcing(0, 1);
    leasepool::detail::refuse_frame(in_its_place);
    Bytes expected = frame_announcing(0, 7);
    expected.append(in_its_place.view());
    expected.append(frame_announcing(0, 2).view());
    Descriptors never_open;
    never_open.emplace_back(1'000'000'000);
    fixture.channel->send(frame_announcing(0, 7));
    fixture.channel->send(frame_announcing(1, 1), std::move(never_open));
    fixture.channel->send(frame_announcing(0, 2));
    REQUIRE(fixture.harness.drive_until([&] {
      std::byte seen[200];
      return ::recv(fixture.theirs.get(), seen, sizeof seen, MSG_PEEK | MSG_DONTWAIT) ==
             static_cast<ssize_t>(expected.size());
    }));
    CHECK(fixture.owner.refusals == std::vector<int>{EBADF});
    CHECK(std::ranges::equal(leasepool::test::receive(fixture.theirs.get(), expected.size()), expected.view()));
    CHECK(fixture.channel->unsent_bytes() == 0);
    CHECK(fixture.channel->unsent_messages() == 0);
    CHECK(fixture.owner.ends.empty());
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

TEST_CASE("descriptors on their way when a channel goes are closed, whichever way they were going", "[channel][fd]") {
  const auto before = open_descriptors();
  for (const bool turns_first : {false, true}) {
    for (const bool other_end_closed : {false, true}) {
      Fixture fixture;
      for (int i = 0; i < 3; ++i) fixture.channel->send(frame_announcing(5), some_descriptors(5));
      send_with(fixture.theirs.get(), frame_announcing(3), some_descriptors(3));
      if (other_end_closed) fixture.theirs.reset();
      if (turns_first) fixture.harness.drive_briefly();
    }
  }
  CHECK(eventually([&] { return open_descriptors() == before; }));
}

// A socket whose close takes as long as SO_LINGER says, for it has sent what nobody reads.
namespace {
struct Lingering {
  Lingering() {
    const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener.get(), 1) == 0);
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    lingers = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(lingers.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    unread = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const linger seconds{.l_onoff = 1, .l_linger = kSeconds};
    REQUIRE(::setsockopt(lingers.get(), SOL_SOCKET, SO_LINGER, &seconds, sizeof seconds) == 0);
    const std::string noise(std::size_t{1} << 20, 'n');
    while (::send(lingers.get(), noise.data(), noise.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
  }
  static constexpr int kSeconds = 20;
  Fd lingers;
  Fd unread;
};
}  // namespace

TEST_CASE("descriptors that nobody takes and that take long to close do not keep the loop", "[channel][fd][W7]") {
  enum class Where { in_a_frame, unannounced, unread };
  for (const Where where : {Where::in_a_frame, Where::unannounced, Where::unread}) {
    CAPTURE(static_cast<int>(where));
    Lingering socket;
    const auto before = std::chrono::steady_clock::now();
    {
      Fixture fixture;
      if (where == Where::unread) {  // behind what the receive in flight takes
        send_with(fixture.theirs.get(), frame_announcing(1), some_descriptors(1));
      }
      Descriptors one;
      one.push_back(std::move(socket.lingers));
      send_with(fixture.theirs.get(), frame_announcing(where == Where::in_a_frame ? 1 : 0), one);
      one.clear();
      if (where == Where::in_a_frame) CHECK(fixture.harness.drive_until([&] { return !fixture.owner.seen.empty(); }));
      if (where == Where::unannounced) CHECK(fixture.harness.drive_until([&] { return !fixture.owner.ends.empty(); }));
    }
    CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(Lingering::kSeconds / 2));
  }
}
