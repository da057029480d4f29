// Loop::serve_stats() as its clients see it: over a Unix socket and over TCP, by whoever may ask, and no one else.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <leasepool/leasepool.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "public/support.hpp"
#include "support/skip.hpp"
#include "support/temporary_directory.hpp"

namespace stats_test {
namespace {

// All that the server answers to these bytes, to the end of the connection.
lp::Task<std::string> exchange(lp::Stream stream, std::string request) {
  auto writing = stream.write(request, {.timeout = 60s});
  co_await writing;
  stream.shutdown_write();
  std::string answer;
  std::array<std::byte, 4096> buffer;
  for (;;) {
    auto reading = stream.read(buffer, {.timeout = 60s});
    const std::size_t size = co_await reading;
    if (size == 0) co_return answer;
    answer.append(reinterpret_cast<const char*>(buffer.data()), size);
  }
}

lp::Task<std::string> ask(lp::Loop& loop, const lp::Address& address, std::string request) {
  if (address.path.empty()) {
    auto connecting = lp::connect(loop, address.endpoint());
    auto exchanging = exchange(co_await connecting, std::move(request));
    co_return co_await exchanging;
  }
  auto connecting = lp::connect(loop, lp::UnixEndpoint{.path = address.path});
  auto exchanging = exchange(co_await connecting, std::move(request));
  co_return co_await exchanging;
}

std::string get(std::string_view target, std::string_view host = "localhost") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n";
}

std::string body_of(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "" : answer.substr(end + 4);
}

std::string command_line_of(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// As in a terminal of a user's: XDG_RUNTIME_DIR is a directory of its own while this lives.
class RuntimeDirectory {
 public:
  RuntimeDirectory() { ::setenv("XDG_RUNTIME_DIR", directory_.path().c_str(), 1); }
  RuntimeDirectory(const RuntimeDirectory&) = delete;
  RuntimeDirectory& operator=(const RuntimeDirectory&) = delete;
  ~RuntimeDirectory() { ::unsetenv("XDG_RUNTIME_DIR"); }

 private:
  leasepool::test::TemporaryDirectory directory_;
};

}  // namespace

TEST_CASE("one line shows a loop's managers on a Unix socket of mode 0600, which goes with the loop", "[serve_stats]") {
  const RuntimeDirectory runtime;
  std::string path;
  {
    lp::Loop loop;
    const lp::Address address = loop.serve_stats();
    path = address.path;
    CHECK(path == lp::stats_socket_path(::getpid()));
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(loop.serve_stats().path != path);  // as a second loop of the process would
    loop.block_on([](lp::Loop& on, const lp::Address& at) -> lp::Task<> {
      Manager manager(on, {.max_pools = 2, .workers_per_pool = 1, .name_prefix = "shown"});
      auto starting = manager.start();
      co_await starting;
      auto asking = ask(on, at, get("/stats.json"));
      const std::string json = co_await asking;
      CHECK_THAT(json, ContainsSubstring("HTTP/1.1 200 OK\r\n"));
      CHECK_THAT(json, ContainsSubstring("Content-Type: application/json\r\n"));
      CHECK_THAT(body_of(json), ContainsSubstring(R"("pid":)" + std::to_string(::getpid())));
      CHECK_THAT(body_of(json),
                 ContainsSubstring(R"("managers":[{"manager":"shown","backend":"thread","started":true)"));
      CHECK_THAT(json, ContainsSubstring("Content-Length: " + std::to_string(body_of(json).size())));
      auto scraping = ask(on, at, get("/metrics"));
      const std::string metrics = co_await scraping;
      CHECK_THAT(metrics, ContainsSubstring("text/plain; version=0.0.4"));
      CHECK_THAT(body_of(metrics), ContainsSubstring("leasepool_up{manager=\"shown\",backend=\"thread\"} 1\n"));
      auto opening = ask(on, at, get("/"));
      const std::string page = co_await opening;
      CHECK_THAT(page, ContainsSubstring("text/html"));
      CHECK(body_of(page).starts_with("<!doctype html>"));
      auto stopping = manager.stop();
      co_await stopping;
    }(loop, address));
  }
  CHECK(::access(path.c_str(), F_OK) != 0);
}

TEST_CASE("whoever asks for something else, or by another name, is told so", "[serve_stats]") {
  lp::Loop loop;
  const lp::Address address = loop.serve_stats(lp::Endpoint{}, {.hosts = {"metrics.example.org"}});
  CHECK(address.host == "127.0.0.1");
  CHECK(address.port != 0);
  loop.block_on([](lp::Loop& on, const lp::Address& at) -> lp::Task<> {
    const std::pair<std::string, std::string> expected[] = {
        {get("/stats.json"), "HTTP/1.1 200 "},
        {get("/stats.json", "127.0.0.1:80"), "HTTP/1.1 200 "},
        {get("/stats.json", "metrics.example.org"), "HTTP/1.1 200 "},
        {get("/stats.json", "evil.example.org"), "HTTP/1.1 421 "},
        {"GET /stats.json HTTP/1.0\r\n\r\n", "HTTP/1.1 421 "},
        {"GET /stats.json HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {get("/etc/passwd"), "HTTP/1.1 404 "},
        {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 "},
        {"nonsense\r\n\r\n", "HTTP/1.1 400 "},
        {get("/" + std::string(100'000, 'x')), "HTTP/1.1 431 "},
    };
    for (const auto& [request, status] : expected) {
      CAPTURE(request.substr(0, 80));
      auto asking = ask(on, at, request);
      const std::string answer = co_await asking;
      CHECK(answer.starts_with(status));
    }
    auto heading = ask(on, at, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const std::string head = co_await heading;
    CHECK(head.starts_with("HTTP/1.1 200 "));
    CHECK(body_of(head).empty());
    // Several on one connection, sent at once.
    auto twice = ask(on, at, get("/") + get("/nothing") + get("/metrics"));
    const std::string answers = co_await twice;
    CHECK_THAT(answers, ContainsSubstring("HTTP/1.1 404 "));
    CHECK(answers.find("HTTP/1.1 404 ") < answers.find("version=0.0.4"));
  }(loop, address));
}

TEST_CASE("a socket that nobody listens on any more is replaced, and one that is in use is not", "[serve_stats]") {
  const leasepool::test::TemporaryDirectory directory;
  const std::string path = directory / "stats.sock";
  {
    const lp::Fd left(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
    REQUIRE(::bind(left.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  lp::Loop loop;
  CHECK(loop.serve_stats(lp::UnixEndpoint{.path = path}).path == path);
  CHECK_THROWS_AS(loop.serve_stats(lp::UnixEndpoint{.path = path}), lp::IoError);
  const std::string file = directory / "file";
  std::ofstream(file) << "mine";
  CHECK_THROWS_AS(loop.serve_stats(lp::UnixEndpoint{.path = file}), lp::IoError);
  CHECK(::access(file.c_str(), F_OK) == 0);
  CHECK_THROWS_AS(loop.serve_stats(lp::UnixEndpoint{.path = std::string(200, 'x')}), std::invalid_argument);
  CHECK_THROWS_AS(loop.serve_stats(lp::UnixEndpoint{}), std::invalid_argument);
}

TEST_CASE("a call that hangs leads to its process, whose title says what it runs", "[serve_stats][stats]") {
  on_loop(ExecutorBackend::process, [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    Manager manager(loop, options_for(backend));
    auto starting = manager.start();
    co_await starting;
    auto acquiring = manager.acquire();
    auto lease = co_await acquiring;
    bool ended = false;
    lease.run_async(pass_gate, 1, [&](const lp::Result<int>&) { ended = true; });
    auto entering = until_entered(loop, 1);
    co_await entering;
    auto beginning = until(loop, [&] { return !manager.stats().leases.at(0).running.empty(); });
    co_await beginning;
    const lp::ManagerStats stats = manager.stats();
    const lp::RunningCall call = stats.leases.at(0).running.at(0);
    REQUIRE(stats.workers.size() == 2);
    CHECK(call.pid != 0);
    const auto runs = [&](const lp::WorkerStats& worker) { return worker.running.has_value(); };
    REQUIRE(std::ranges::count_if(stats.workers, runs) == 1);
    const lp::WorkerStats worker = *std::ranges::find_if(stats.workers, runs);
    CHECK(worker.pid == call.pid);
    CHECK(worker.worker_id == call.worker_id);
    CHECK(worker.running->call_id == call.call_id);
    const std::string busy = ": leasepool worker " + std::to_string(call.worker_id) + " of " + worker.pool + ": runs ";
    CHECK_THAT(command_line_of(call.pid), ContainsSubstring(busy) && ContainsSubstring("pass_gate"));
    for (const lp::WorkerStats& other : stats.workers) {
      if (other.pid != call.pid) CHECK_THAT(command_line_of(other.pid), ContainsSubstring(other.pool + ": idle"));
    }
    open_gate();
    auto ending = until(loop, [&] { return ended; });
    co_await ending;
    CHECK_THAT(command_line_of(call.pid), ContainsSubstring(worker.pool + ": idle"));
    auto stopping = manager.stop();
    co_await stopping;
  });
}

TEST_CASE("a call that hangs leads to its thread", "[stats]") {
  on_loop(ExecutorBackend::thread, [](lp::Loop& loop, ExecutorBackend backend) -> lp::Task<> {
    Manager manager(loop, options_for(backend));
    auto starting = manager.start();
    co_await starting;
    auto acquiring = manager.acquire();
    auto lease = co_await acquiring;
    bool ended = false;
    lease.run_async(pass_gate, 1, [&](const lp::Result<int>&) { ended = true; });
    auto entering = until_entered(loop, 1);
    co_await entering;
    auto beginning = until(loop, [&] { return !manager.stats().leases.at(0).running.empty(); });
    co_await beginning;
    const lp::ManagerStats stats = manager.stats();
    const lp::RunningCall call = stats.leases.at(0).running.at(0);
    CHECK(call.pid != ::getpid());
    CHECK(::access(("/proc/self/task/" + std::to_string(call.pid)).c_str(), F_OK) == 0);
    const auto runs = [&](const lp::WorkerStats& worker) { return worker.running.has_value(); };
    REQUIRE(std::ranges::count_if(stats.workers, runs) == 1);
    const lp::WorkerStats worker = *std::ranges::find_if(stats.workers, runs);
    CHECK(worker.pid == call.pid);
    CHECK(worker.worker_id == call.worker_id);
    CHECK_THAT(worker.running->function, ContainsSubstring("pass_gate"));
    CHECK_THAT(to_text(stats), ContainsSubstring(" on thread " + std::to_string(call.worker_id) + " (id " +
                                                 std::to_string(call.pid) + ")"));
    open_gate();
    auto ending = until(loop, [&] { return ended; });
    co_await ending;
    CHECK(std::ranges::none_of(manager.stats().workers, runs));
    auto stopping = manager.stop();
    co_await stopping;
  });
}

// Connected before the loop has looked at one of them.
TEST_CASE("a burst of connections passes the most that are served by none", "[serve_stats]") {
  constexpr std::size_t kMost = 64;
  constexpr std::size_t kBurst = 80;
  const RuntimeDirectory runtime;
  lp::Loop loop({.engine = GENERATE(lp::LoopEngine::io_uring, lp::LoopEngine::epoll)});
  const std::string path = loop.serve_stats().path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
  std::vector<lp::Fd> burst;
  for (std::size_t i = 0; i < kBurst; ++i) {
    const lp::Fd& fd = burst.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  std::size_t ended = 0;
  const auto count_ended = [&] {
    ended = 0;
    char byte = 0;
    for (const lp::Fd& fd : burst) {
      if (::recv(fd.get(), &byte, 1, 0) == 0) ++ended;
    }
    return ended;
  };
  loop.block_on(until(loop, [&] { return count_ended() >= kBurst - kMost; }));
  CHECK(ended == kBurst - kMost);
  // Those that were let in are answered still.
  loop.block_on([](lp::Loop& on, const lp::Fd& fd) -> lp::Task<> {
    const std::string request = get("/metrics");
    CHECK(::send(fd.get(), request.data(), request.size(), 0) == std::ssize(request));
    char byte = 0;
    auto answering = until(on, [&] { return ::recv(fd.get(), &byte, 1, 0) == 1; });
    co_await answering;
  }(loop, burst.front()));
}

TEST_CASE("the stats of a manager are there for other threads", "[stats]") {
  lp::Loop loop;
  Manager manager(loop, {.max_pools = 1, .name_prefix = "asked"});
  CHECK_THROWS_AS(manager.stats_from_thread(), lp::LeasePoolError);
  std::string name;
  {
    const std::jthread asker([&] {
      name = manager.stats_from_thread().manager;
      loop.stop();
    });
    loop.run();
  }
  CHECK(name == "asked");
}

// Threads of one process can act for several users: the other one is the system's "nobody", with root's way to files.
TEST_CASE("whoever is of another user is not answered, whatever the socket's file allows", "[serve_stats]") {
  if (::geteuid() != 0) return leasepool::test::skip("only root can become another user");
  const leasepool::test::TemporaryDirectory directory;
  const std::string path = directory / "stats.sock";
  lp::Loop loop;
  loop.serve_stats(lp::UnixEndpoint{.path = path});
  const auto answer_to = [&](long user) {
    std::string answer;
    std::jthread asker([&] {
      (void)::syscall(SYS_setresuid, -1L, user, -1L);
      (void)::syscall(SYS_setfsuid, 0L);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      path.copy(static_cast<char*>(address.sun_path), sizeof address.sun_path - 1);
      const lp::Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
      if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        answer = "no connection";
      } else {
        const std::string request = get("/stats.json");
        (void)::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
        ::shutdown(fd.get(), SHUT_WR);
        std::array<char, 4096> buffer;
        for (ssize_t size = 0; (size = ::recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0;) {
          answer.append(buffer.data(), static_cast<std::size_t>(size));
        }
      }
      loop.stop();
    });
    loop.run();
    return answer;
  };
  CHECK(answer_to(0).starts_with("HTTP/1.1 200 "));
  constexpr long kNobody = 65534;
  CHECK(answer_to(kNobody).empty());
}

}  // namespace stats_test
