// Tests that hold of either engine: what it does on sockets.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "engine_operations.hpp"
#include "loop/epoll_engine.hpp"
#include "loop/ring.hpp"
#include "support/skip.hpp"
#include "support/socket_pair.hpp"
#include "support/watchdog.hpp"

namespace engine_sockets {

using namespace leasepool::test;
using leasepool::detail::EpollEngine;
using leasepool::detail::Ring;
using leasepool::detail::UniqueFd;
using namespace std::chrono_literals;

// Listens on a free port of the loopback interface.
struct Listener {
  explicit Listener(int flags) : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(socket.get(), any, size) == 0);
    REQUIRE(::listen(socket.get(), 8) == 0);
    REQUIRE(::getsockname(socket.get(), any, &size) == 0);
  }
  [[nodiscard]] Operation connecting(int fd) {
    return {.kind = Kind::connect, .fd = fd, .data = &address, .size = sizeof address};
  }
  UniqueFd socket;
  sockaddr_in address{};
};

inline UniqueFd tcp_socket(int flags = 0) { return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)); }

struct Message {
  explicit Message(std::span<char> bytes) : part{.iov_base = bytes.data(), .iov_len = bytes.size()} {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  iovec part;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
};

}  // namespace engine_sockets

TEMPLATE_TEST_CASE("bytes go both ways, whoever comes first", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_sockets;
  const Watchdog watchdog("bytes did not arrive");
  TestType engine;
  const SocketPair sockets;
  std::array<std::byte, 16> into{};
  Record received;
  const auto send = [&] {
    Record sent;
    engine.send(sockets.ours.get(), std::as_bytes(std::span("abc", 3)), sent.handler());
    while (sent.all.empty()) turn(engine);
    CHECK(sent.all[0].result == 3);
  };
  SECTION("the bytes") { send(); }
  engine.recv(sockets.theirs.get(), into, received.handler());
  CHECK(received.all.empty());
  SECTION("the receiver") {
    settle(engine);
    CHECK(received.all.empty());
    CHECK(engine.in_flight() == 1);
    send();
  }
  finish(engine);
  REQUIRE(received.all.size() == 1);
  CHECK(received.all[0].result == 3);
  CHECK(std::memcmp(into.data(), "abc", 3) == 0);
}

TEMPLATE_TEST_CASE("a message brings descriptors, close-on-exec", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_sockets;
  TestType engine;
  const SocketPair sockets;
  std::string text = "with a descriptor";
  std::array<char, 64> into{};
  Message incoming(into);
  Record received;
  engine.recvmsg(sockets.theirs.get(), &incoming.header, received.handler());
  settle(engine);
  Message outgoing(text);
  cmsghdr* const header = CMSG_FIRSTHDR(&outgoing.header);
  *header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  const int passed = sockets.ours.get();
  std::memcpy(CMSG_DATA(header), &passed, sizeof passed);
  Record sent;
  engine.sendmsg(sockets.ours.get(), &outgoing.header, sent.handler());
  finish(engine);
  REQUIRE(received.all.size() == 1);
  CHECK(received.all[0].result == static_cast<int>(text.size()));
  CHECK(std::string_view(into.data(), text.size()) == text);
  const cmsghdr* const come = CMSG_FIRSTHDR(&incoming.header);
  REQUIRE(come != nullptr);
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(come), sizeof descriptor);
  const UniqueFd kept(descriptor);
  CHECK((::fcntl(kept.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("what waits for the same socket is served in order", "[engine][I8]") {
  using namespace engine_sockets;
  EpollEngine engine;
  const SocketPair sockets;
  std::array<std::array<std::byte, 1>, 4> into{};
  std::array<Record, 4> received;
  for (std::size_t i = 0; i < 3; ++i) engine.recv(sockets.theirs.get(), into[i], received[i].handler());
  settle(engine);
  REQUIRE(::send(sockets.ours.get(), "ab", 2, 0) == 2);
  engine.recv(sockets.theirs.get(), into[3], received[3].handler());  // when there is something, but not for this one
  settle(engine);
  CHECK(into[0][0] == std::byte{'a'});
  CHECK(into[1][0] == std::byte{'b'});
  CHECK(received[2].all.empty());
  CHECK(received[3].all.empty());
  REQUIRE(::send(sockets.ours.get(), "cd", 2, 0) == 2);
  finish(engine);
  CHECK(into[2][0] == std::byte{'c'});
  CHECK(into[3][0] == std::byte{'d'});
}

TEMPLATE_TEST_CASE("more than a socket has room for goes when there is room", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_sockets;
  const Watchdog watchdog("a send that waited for room did not go on");
  TestType engine;
  const SocketPair sockets;
  const std::string sent(3 << 20, 'x');
  std::vector<std::byte> into(100'000);
  std::size_t gone = 0;
  std::size_t come = 0;
  std::function<void(Completion)> send_more = [&](Completion completion) {
    REQUIRE(completion.result >= 0);
    gone += static_cast<std::size_t>(completion.result);
    if (gone == sent.size()) return;
    engine.send(sockets.ours.get(), std::as_bytes(std::span(sent)).subspan(gone), send_more);
  };
  std::function<void(Completion)> receive_more = [&](Completion completion) {
    REQUIRE(completion.result >= 0);
    come += static_cast<std::size_t>(completion.result);
    if (come < sent.size()) engine.recv(sockets.theirs.get(), into, receive_more);
  };
  send_more({});
  settle(engine);
  receive_more({});
  finish(engine);
  CHECK(gone == sent.size());
  CHECK(come == sent.size());
}

TEMPLATE_TEST_CASE("the other end's going is told as what it is", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_sockets;
  const Watchdog watchdog("an end was not heard of");
  TestType engine;
  std::array<std::byte, 16> into{};
  Record received;
  SECTION("an end while it waits") {
    SocketPair sockets;
    engine.recv(sockets.ours.get(), into, received.handler());
    settle(engine);
    sockets.theirs.reset();
    finish(engine);
    REQUIRE(received.all.size() == 1);
    CHECK(received.all[0].result == 0);
    Record sent;
    engine.send(sockets.ours.get(), std::as_bytes(std::span("x", 1)), sent.handler());
    finish(engine);
    REQUIRE(sent.all.size() == 1);
    CHECK(sent.all[0].result == -EPIPE);
  }
  SECTION("a reset") {
    Listener listener(0);
    const UniqueFd client = tcp_socket(SOCK_NONBLOCK);
    CHECK(result_of(engine, listener.connecting(client.get())) == 0);
    UniqueFd accepted(result_of(engine, accepting(listener.socket.get())));
    engine.recv(client.get(), into, received.handler());
    settle(engine);
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    REQUIRE(::setsockopt(accepted.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    accepted.reset();
    finish(engine);
    REQUIRE(received.all.size() == 1);
    CHECK(received.all[0].result == -ECONNRESET);
  }
}

TEMPLATE_TEST_CASE("what is no socket, or nothing, is refused", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_sockets;
  TestType engine;
  std::array<char, 4> into{};
  const UniqueFd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  int closed = -1;
  {
    const SocketPair sockets;
    closed = sockets.ours.get();
  }
  for (const int fd : {-1, closed, 1 << 30}) {
    CHECK(result_of(engine, reading(fd, into)) == -EBADF);
    CHECK(result_of(engine, {.kind = Kind::poll, .fd = fd, .flags = 1}) == -EBADF);
    CHECK(result_of(engine, accepting(fd)) == -EBADF);
    CHECK(result_of(engine, {.kind = Kind::recv, .fd = fd, .data = into.data(), .size = 4}) == -EBADF);
    CHECK(result_of(engine, {.kind = Kind::sync, .fd = fd}) == -EBADF);
  }
  CHECK(result_of(engine, {.kind = Kind::recv, .fd = file.get(), .data = into.data(), .size = 4}) == -ENOTSOCK);
  CHECK(result_of(engine, {.kind = Kind::send, .fd = file.get(), .data = into.data(), .size = 4}) == -ENOTSOCK);
  CHECK(result_of(engine, accepting(file.get())) == -ENOTSOCK);
}

TEMPLATE_TEST_CASE("connections are made and accepted, on blocking sockets and others", "[engine][I8]",
                   leasepool::detail::Ring, leasepool::detail::EpollEngine) {
  using namespace engine_sockets;
  const Watchdog watchdog("a connection was not accepted");
  const int flags = GENERATE(0, int{SOCK_NONBLOCK});
  TestType engine;
  Listener listener(flags);
  SECTION("one for each accept") {
    Record accepted;
    engine.start(accepting(listener.socket.get()), accepted.handler(), kNever);
    settle(engine);
    CHECK(accepted.all.empty());
    const UniqueFd client = tcp_socket(flags);
    CHECK(result_of(engine, listener.connecting(client.get())) == 0);
    finish(engine);
    REQUIRE(accepted.all.size() == 1);
    const UniqueFd server(accepted.all[0].result);
    REQUIRE(server);
    CHECK((::fcntl(server.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(client.get(), F_GETFL) & O_NONBLOCK) == (flags == 0 ? 0 : O_NONBLOCK));
    std::array<char, 1> into{};
    CHECK(::send(client.get(), "x", 1, 0) == 1);
    CHECK(result_of(engine, {.kind = Kind::recv, .fd = server.get(), .data = into.data(), .size = 1}) == 1);
  }
  SECTION("many for one accept, until it is cancelled") {
    Record accepted;
    const OperationId id =
        engine.start(accepting(listener.socket.get(), Kind::accept_multishot), accepted.handler(), kNever);
    settle(engine);
    if (!accepted.all.empty() && accepted.all[0].result == -EINVAL) {
      return leasepool::test::skip("this kernel's io_uring accepts one connection for each operation", "many for one");
    }
    std::vector<UniqueFd> kept;
    for (std::size_t i = 1; i <= 20; ++i) {
      kept.push_back(tcp_socket(flags));
      CHECK(result_of(engine, listener.connecting(kept.back().get())) == 0);
      if (i % 4 != 0) continue;  // several at once, too
      while (accepted.all.size() < i) turn(engine);
    }
    REQUIRE(accepted.all.size() == 20);
    for (const Completion& completion : accepted.all) {
      CHECK(completion.more);
      REQUIRE(completion.result >= 0);
      kept.emplace_back(completion.result);
    }
    CHECK(engine.in_flight() == 1);
    engine.cancel(id);
    finish(engine);
    REQUIRE(accepted.all.size() == 21);
    CHECK(accepted.all.back().result == -ECANCELED);
    CHECK_FALSE(accepted.all.back().more);
  }
}

TEST_CASE("a connection that was accepted is handed over, though the accept was cancelled", "[engine][I8]") {
  using namespace engine_sockets;
  EpollEngine engine;
  Listener listener(SOCK_NONBLOCK);
  const UniqueFd client = tcp_socket();
  CHECK(result_of(engine, listener.connecting(client.get())) == 0);
  Record accepted;
  const OperationId id =
      engine.start(accepting(listener.socket.get(), Kind::accept_multishot), accepted.handler(), kNever);
  engine.submit_and_reap();
  engine.cancel(id);
  finish(engine);
  REQUIRE(accepted.all.size() == 2);
  const UniqueFd server(accepted.all[0].result);
  CHECK(server);
  CHECK(accepted.all[0].more);
  CHECK(accepted.all[1].result == -ECANCELED);
}

TEMPLATE_TEST_CASE("a connection that is refused says so", "[engine][I8]", leasepool::detail::Ring,
                   leasepool::detail::EpollEngine) {
  using namespace engine_sockets;
  TestType engine;
  Listener listener(0);
  listener.socket.reset();
  const UniqueFd client = tcp_socket(GENERATE(0, int{SOCK_NONBLOCK}));
  CHECK(result_of(engine, listener.connecting(client.get())) == -ECONNREFUSED);
}

TEST_CASE("a local listener that has no room for a connection is waited for", "[engine][I8]") {
  using namespace engine_sockets;
  const Watchdog watchdog("a connection to a full listener did not come");
  EpollEngine engine;
  const UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) == 0);  // a name is found
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  REQUIRE(::listen(listener.get(), 0) == 0);
  std::vector<UniqueFd> clients;
  std::vector<UniqueFd> servers;
  std::size_t connected = 0;
  OperationId last = 0;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    last = engine.start(
        {.kind = Kind::connect, .fd = clients.back().get(), .data = &address, .size = size},
        [&](Completion completion) { connected += completion.result == 0 ? 1 : 0; }, kNever);
  }
  settle(engine);
  CHECK(connected < 3);
  engine.cancel(last);  // while it waits
  while (connected < 3) {
    servers.emplace_back(result_of(engine, accepting(listener.get())));
    settle(engine);
  }
  finish(engine);
  CHECK(connected == 3);
}
