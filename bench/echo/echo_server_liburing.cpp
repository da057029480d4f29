// The echo server as one writes it by hand on liburing: one ring, one enter for a batch of completions, and a receive
// and then a send for each connection. With --multishot one receive for each connection that goes on by itself, into
// buffers that all connections share.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <vector>

#include "echo_server.hpp"
#include "ring.hpp"

namespace {

using echo::Account;
using echo::Event;
using echo::fail;
using echo::kBufferBytes;
using echo::Ring;

constexpr unsigned kRequests = 4096;

int listen_on_loopback() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  if (listener < 0 || bind(listener, plain, bytes) != 0 || listen(listener, SOMAXCONN) != 0 ||
      getsockname(listener, plain, &bytes) != 0) {
    fail("cannot listen", errno);
  }
  Account::listening(ntohs(address.sin_port));
  return listener;
}

template <class Connection>
void name(io_uring_sqe* request, Event event, Connection& connection) {
  echo::name(request, event, reinterpret_cast<std::uintptr_t>(&connection));
}
template <class Connection>
Connection& connection_of(const io_uring_cqe& completion) {
  return *reinterpret_cast<Connection*>(echo::owner_of(completion));
}

template <class Connection>
void forget(Connection& connection) {
  close(connection.socket);
  delete &connection;
}

// A receive into the connection's own buffer, then a send from it.
class OwnBuffers {
 public:
  OwnBuffers(Ring& ring, Account& account) : ring_(ring), account_(account) {}

  void connected(int socket) {
    auto* const connection = new Connection;
    connection->socket = socket;
    receive(*connection);
  }

  void received(const io_uring_cqe& completion) {
    auto& connection = connection_of<Connection>(completion);
    if (completion.res <= 0) return forget(connection);
    connection.begin = 0;
    connection.end = static_cast<std::size_t>(completion.res);
    send(connection);
  }

  void sent(const io_uring_cqe& completion) {
    auto& connection = connection_of<Connection>(completion);
    if (completion.res <= 0) return forget(connection);
    account_.echoed(static_cast<std::size_t>(completion.res));
    connection.begin += static_cast<std::size_t>(completion.res);
    connection.begin < connection.end ? send(connection) : receive(connection);
  }

 private:
  struct Connection {
    int socket = -1;
    std::size_t begin = 0;  // of what is to be sent
    std::size_t end = 0;
    std::byte buffer[kBufferBytes];
  };

  void receive(Connection& connection) {
    name(ring_.receive_later(connection.socket, connection.buffer, kBufferBytes, 0), Event::received, connection);
  }

  void send(Connection& connection) {
    io_uring_sqe* const request = ring_.request();
    io_uring_prep_send(request, connection.socket, connection.buffer + connection.begin,
                       connection.end - connection.begin, MSG_NOSIGNAL | MSG_WAITALL);
    name(request, Event::sent, connection);
  }

  Ring& ring_;
  Account& account_;
};

// Buffers that the kernel takes from as data comes.
class BufferRing {
 public:
  static constexpr std::uint16_t kGroup = 0;

  explicit BufferRing(Ring& ring)
      : memory_(map(kBuffers * kStride)),
        ring_(reinterpret_cast<io_uring_buf_ring*>(map(kBuffers * sizeof(io_uring_buf)))) {
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(ring_);
    registration.ring_entries = kBuffers;
    registration.bgid = kGroup;
    const int result = io_uring_register_buf_ring(ring.get(), &registration, 0);
    if (result < 0) echo::not_here("the kernel has no rings of buffers");
    for (std::uint16_t buffer = 0; buffer < kBuffers; ++buffer) give_back(buffer);
  }

  [[nodiscard]] std::byte* at(std::uint16_t buffer) const { return memory_ + buffer * kStride; }
  [[nodiscard]] bool is_empty() const { return free_ == 0; }

  void taken() { --free_; }
  void give_back(std::uint16_t buffer) {
    io_uring_buf_ring_add(ring_, at(buffer), kBufferBytes, buffer, io_uring_buf_ring_mask(kBuffers), 0);
    io_uring_buf_ring_advance(ring_, 1);
    ++free_;
  }

 private:
  static constexpr std::uint32_t kBuffers = 256;
  static constexpr std::size_t kStride = kBufferBytes + 64;  // so that not all begin in the same set of a cache

  static std::byte* map(std::size_t bytes) {
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("no memory for buffers", errno);
    return static_cast<std::byte*>(memory);
  }

  std::byte* memory_;
  io_uring_buf_ring* ring_;
  std::uint32_t free_ = 0;
};

// One receive for each connection that goes on by itself, into shared buffers; what has come is sent in its order.
class Multishot {
 public:
  Multishot(Ring& ring, Account& account) : ring_(ring), account_(account), buffers_(ring) {
    if (!ring.is_newest()) echo::not_here("--multishot needs Linux 6.1");
  }

  void connected(int socket) {
    auto* const connection = new Connection;
    connection->socket = socket;
    receive(*connection);
  }

  void received(const io_uring_cqe& completion) {
    auto& connection = connection_of<Connection>(completion);
    const bool goes_on = (completion.flags & IORING_CQE_F_MORE) != 0;
    if (completion.res > 0) {
      buffers_.taken();
      connection.pieces.push_back({.buffer = static_cast<std::uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT),
                                   .begin = 0,
                                   .end = static_cast<std::size_t>(completion.res)});
      if (connection.pieces.size() == 1) send(connection);
      if (!goes_on) receive(connection);
    } else if (completion.res == -ENOBUFS && buffers_.is_empty()) {
      without_buffer_.push_back(&connection);
    } else if (completion.res == -ENOBUFS) {  // some have been given back since
      receive(connection);
    } else {
      connection.has_ended = true;
      if (connection.pieces.empty()) forget(connection);
    }
  }

  void sent(const io_uring_cqe& completion) {
    auto& connection = connection_of<Connection>(completion);
    if (completion.res > 0) {
      account_.echoed(static_cast<std::size_t>(completion.res));
      connection.pieces.front().begin += static_cast<std::size_t>(completion.res);
    } else {
      shutdown(connection.socket, SHUT_RDWR);  // ends its receive
      connection.pieces.front().begin = connection.pieces.front().end;
    }
    if (connection.pieces.front().begin == connection.pieces.front().end) {
      buffers_.give_back(connection.pieces.front().buffer);
      connection.pieces.erase(connection.pieces.begin());
      for (Connection* const waiting : without_buffer_) receive(*waiting);
      without_buffer_.clear();
    }
    if (!connection.pieces.empty()) return send(connection);
    if (connection.has_ended) forget(connection);
  }

 private:
  struct Piece {
    std::uint16_t buffer;
    std::size_t begin;
    std::size_t end;
  };
  struct Connection {
    int socket = -1;
    bool has_ended = false;     // no receive is under way
    std::vector<Piece> pieces;  // to be sent, the first of them on its way
  };

  void receive(Connection& connection) {
    io_uring_sqe* const request = ring_.receive_later(connection.socket, nullptr, 0, 0);
    request->ioprio |= IORING_RECV_MULTISHOT;
    request->flags |= IOSQE_BUFFER_SELECT;
    request->buf_group = BufferRing::kGroup;
    name(request, Event::received, connection);
  }

  void send(Connection& connection) {
    const Piece& piece = connection.pieces.front();
    io_uring_sqe* const request = ring_.request();
    io_uring_prep_send(request, connection.socket, buffers_.at(piece.buffer) + piece.begin, piece.end - piece.begin,
                       MSG_NOSIGNAL | MSG_WAITALL);
    name(request, Event::sent, connection);
  }

  Ring& ring_;
  Account& account_;
  BufferRing buffers_;
  std::vector<Connection*> without_buffer_;
};

template <class Connections>
void serve(Account& account) {
  Ring ring(kRequests);
  Connections connections(ring, account);
  io_uring_sqe* const stop = ring.request();
  io_uring_prep_poll_add(stop, echo::stop_descriptor(), POLLIN);
  echo::name(stop, Event::stop);
  const int listener = listen_on_loopback();
  const auto accept = [&] {
    io_uring_sqe* const request = ring.request();
    io_uring_prep_accept(request, listener, nullptr, nullptr, SOCK_CLOEXEC);
    echo::name(request, Event::accepted);
  };
  accept();
  bool goes_on = true;
  while (goes_on) {
    ring.turn(1, [&](const io_uring_cqe& completion) {
      switch (echo::event_of(completion)) {
        case Event::stop: goes_on = false; break;
        case Event::received: connections.received(completion); break;
        case Event::sent: connections.sent(completion); break;
        case Event::accepted:
          accept();
          if (completion.res < 0) break;
          account.connected();
          const int at_once = 1;
          setsockopt(completion.res, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
          connections.connected(completion.res);
      }
    });
  }
}

}  // namespace

int main(int count, char** arguments) {
  Account account(count, arguments, {"--multishot"});
  account.option() == "--multishot" ? serve<Multishot>(account) : serve<OwnBuffers>(account);
  account.print("liburing", ECHO_VERSION);
}
