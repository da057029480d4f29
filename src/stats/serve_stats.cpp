// Where Loop::serve_stats() listens.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "base/unique_fd.hpp"
#include "io/socket_address.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/fd.hpp"
#include "leasepool/io.hpp"
#include "leasepool/listener.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/stats_server.hpp"
#include "loop/loop_core.hpp"
#include "stats/stats_server.hpp"

namespace leasepool {

namespace detail {

namespace {

[[noreturn]] void throw_refused(int error, const std::string& call, const std::string& path) {
  throw IoError(std::error_code(error, std::generic_category()), call + " for serve_stats() on " + path);
}

// Ours alone: what others can write to they could put a socket of theirs into.
void make_private_directory(const std::string& directory) {
  struct stat status{};
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) throw_refused(errno, "mkdir", directory);
  if (::lstat(directory.c_str(), &status) != 0) throw_refused(errno, "lstat", directory);
  if (S_ISDIR(status.st_mode) && status.st_uid == ::geteuid() && (status.st_mode & 022) == 0) return;
  throw_refused(EPERM, "use of a directory that is another user's, or that others can write to,", directory);
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    throw std::invalid_argument("leasepool: serve_stats(): path = \"" + path + "\" has " + std::to_string(path.size()) +
                                " bytes; that of a Unix socket has from 1 to 107");
  }
  path.copy(static_cast<char*>(address.sun_path), path.size());
  return address;
}

// A socket that its program has left behind, as one that was killed does.
bool is_abandoned(const sockaddr_un& address) noexcept {
  struct stat status{};
  if (::lstat(static_cast<const char*>(address.sun_path), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe && ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
         errno == ECONNREFUSED;
}

// The socket has its mode before it has its name.
Fd listen_privately(const std::string& path) {
  const sockaddr_un address = address_of(path);
  Fd socket = try_above_standard_streams(Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)));
  if (!socket) throw_refused(errno, "socket", path);
  if (::fchmod(socket.get(), 0600) != 0) throw_refused(errno, "fchmod", path);
  const auto bind = [&] { return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address); };
  int result = bind();
  if (result != 0 && errno == EADDRINUSE && is_abandoned(address)) {
    (void)::unlink(path.c_str());
    result = bind();
  }
  if (result != 0) throw_refused(errno, "bind", path);
  if (::listen(socket.get(), SOMAXCONN) != 0) throw_refused(errno, "listen", path);
  return socket;
}

Address serve_privately(Loop& loop, const std::string& path) {
  Fd socket = listen_privately(path);
  SocketFile file(path);
  const auto server = std::make_shared<StatsServer>(loop, StatsServer::Peers::are_own_user, std::vector<std::string>(),
                                                    std::move(file));
  server->serve(UnixListener(loop, std::move(socket)));
  return {.path = path};
}

std::string stats_directory() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/') return std::string(runtime) + "/leasepool";
  return "/tmp/leasepool-" + std::to_string(::geteuid());
}

}  // namespace

}  // namespace detail

std::string stats_socket_path(int pid, int number) {
  return detail::stats_directory() + "/" + std::to_string(pid) + (number == 1 ? "" : "-" + std::to_string(number)) +
         ".sock";
}

Address Loop::serve_stats() {
  static std::atomic<int> loops = 0;
  core_->check_thread("serve_stats");
  detail::make_private_directory(detail::stats_directory());
  return detail::serve_privately(*this, stats_socket_path(::getpid(), ++loops));
}

Address Loop::serve_stats(UnixEndpoint path) {
  core_->check_thread("serve_stats");
  return detail::serve_privately(*this, std::string(path.path));
}

Address Loop::serve_stats(Endpoint endpoint, StatsServerOptions options) {
  core_->check_thread("serve_stats");
  if (endpoint.host.empty()) endpoint.host = "127.0.0.1";
  TcpListener listener(*this, endpoint);
  Address address = listener.local_address();
  const auto server =
      std::make_shared<detail::StatsServer>(*this, detail::StatsServer::Peers::name_the_host, std::move(options.hosts));
  server->serve(std::move(listener));
  return address;
}

}  // namespace leasepool
