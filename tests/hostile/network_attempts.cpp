// The network, in every address family.
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <cerrno>
#include <cstring>

#include "attempts.hpp"

namespace hostile::network {

namespace {

int open_socket(int family, int type) {
  return static_cast<int>(tried(::socket(family, type | SOCK_CLOEXEC, 0), "socket()"));
}

sockaddr_in loopback(unsigned short port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}
sockaddr_in6 loopback6(unsigned short port) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  address.sin6_addr = in6addr_loopback;
  return address;
}

// An abstract name begins with a zero byte.
std::pair<sockaddr_un, socklen_t> unix_address(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path, sizeof address.sun_path - 1);
  return {address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())};
}

template <class Address>
std::string connect_to(int type, const Address& address, socklen_t length = sizeof(Address)) {
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  const int fd = open_socket(generic->sa_family, type);
  const long result = ::connect(fd, generic, length);
  ::close(fd);
  tried(result, "connect()");
  return {};
}
template <class Address>
std::string bind_to(int type, const Address& address, socklen_t length = sizeof(Address)) {
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  const int fd = open_socket(generic->sa_family, type);
  const long result = ::bind(fd, generic, length);
  ::close(fd);
  tried(result, "bind()");
  return {};
}

}  // namespace

std::string connect_tcp(const Targets& at) { return connect_to(SOCK_STREAM, loopback(at.tcp_port)); }
std::string connect_tcp6(const Targets& at) { return connect_to(SOCK_STREAM, loopback6(at.tcp_port)); }
std::string connect_udp(const Targets& at) { return connect_to(SOCK_DGRAM, loopback(at.tcp_port)); }
std::string bind_tcp(const Targets& /*at*/) { return bind_to(SOCK_STREAM, loopback(0)); }
std::string bind_tcp6(const Targets& /*at*/) { return bind_to(SOCK_STREAM, loopback6(0)); }
std::string bind_udp(const Targets& /*at*/) { return bind_to(SOCK_DGRAM, loopback(0)); }
std::string connect_path(const Targets& at) {
  const auto [address, length] = unix_address(at.listening_path);
  return connect_to(SOCK_STREAM, address, length);
}
std::string connect_abstract(const Targets& at) {
  const auto [address, length] = unix_address(at.abstract_name);
  return connect_to(SOCK_STREAM, address, length);
}
std::string bind_path(const Targets& at) {
  const std::string path = at.writable + "/socket";
  const auto [address, length] = unix_address(path);
  std::string done = bind_to(SOCK_STREAM, address, length);
  ::unlink(path.c_str());
  return done;
}
std::string bind_abstract(const Targets& at) {
  const auto [address, length] = unix_address(at.abstract_name + "2");
  return bind_to(SOCK_STREAM, address, length);
}
std::string ask_netlink(const Targets& /*at*/) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  return bind_to(SOCK_RAW, address);
}
std::string open_raw(const Targets& /*at*/) {
  ::close(open_socket(AF_PACKET, SOCK_RAW));
  return {};
}
std::string make_pair(const Targets& /*at*/) {
  int ends[2];
  tried(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair()");
  ::close(ends[0]);
  ::close(ends[1]);
  return {};
}
// A socket that the worker has: its channel.
int own_socket() {
  int type = 0;
  socklen_t size = sizeof type;
  int fd = 0;
  while (fd < 1024 && ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) ++fd;
  return fd;
}

bool is_refused(int result) { return result < 0 && (errno == EPERM || errno == EACCES); }

// The first that can be made is one too many, and so is one that an own socket can be connected or bound to.
std::string every_family(const Targets& /*at*/) {
  const int own = own_socket();
  for (int family = 1; family < AF_MAX; ++family) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET}) {
      const int fd = ::socket(family, type | SOCK_CLOEXEC, 0);
      if (is_refused(fd)) continue;
      if (fd >= 0) ::close(fd);
      return {};
    }
    sockaddr_storage address{};
    address.ss_family = static_cast<sa_family_t>(family);
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    if (!is_refused(::connect(own, generic, sizeof address)) || !is_refused(::bind(own, generic, sizeof address))) {
      return {};
    }
  }
  errno = EPERM;
  tried(-1, "socket()");
  return {};
}

}  // namespace hostile::network

LEASEPOOL_REGISTER(hostile::network::connect_tcp);
LEASEPOOL_REGISTER(hostile::network::connect_tcp6);
LEASEPOOL_REGISTER(hostile::network::connect_udp);
LEASEPOOL_REGISTER(hostile::network::bind_tcp);
LEASEPOOL_REGISTER(hostile::network::bind_tcp6);
LEASEPOOL_REGISTER(hostile::network::bind_udp);
LEASEPOOL_REGISTER(hostile::network::connect_path);
LEASEPOOL_REGISTER(hostile::network::connect_abstract);
LEASEPOOL_REGISTER(hostile::network::bind_path);
LEASEPOOL_REGISTER(hostile::network::bind_abstract);
LEASEPOOL_REGISTER(hostile::network::ask_netlink);
LEASEPOOL_REGISTER(hostile::network::open_raw);
LEASEPOOL_REGISTER(hostile::network::make_pair);
LEASEPOOL_REGISTER(hostile::network::every_family);

namespace hostile {

std::vector<Attempt> network_attempts() {
  using namespace network;
  using enum Ending;
  return {
      {"connect by TCP, IPv4", "socket()", connect_tcp, works, refused, refused},
      {"connect by TCP, IPv6", "socket()", connect_tcp6, untried, refused, refused},
      {"connect by UDP", "socket()", connect_udp, works, refused, refused},
      {"listen on TCP, IPv4", "socket()", bind_tcp, works, refused, refused},
      {"listen on TCP, IPv6", "socket()", bind_tcp6, untried, refused, refused},
      {"listen on UDP", "socket()", bind_udp, works, refused, refused},
      {"connect to a Unix socket by its path", "socket()", connect_path, works, refused, refused},
      {"connect to a Unix socket by an abstract name", "socket()", connect_abstract, works, refused, refused},
      {"listen on a Unix socket in a listed directory", "socket()", bind_path, works, refused, refused},
      {"listen on an abstract Unix socket", "socket()", bind_abstract, works, refused, refused},
      {"ask the kernel by netlink", "socket()", ask_netlink, works, refused, refused},
      {"read raw packets", "socket()", open_raw, untried, refused, refused},
      {"make a pair of sockets", "socketpair()", make_pair, works, refused, refused},
      {"make, connect or bind a socket of any kind in any of Linux's address families", "socket()", every_family, works,
       refused, refused},
  };
}

}  // namespace hostile
