// A connection is a coroutine: it reads a request, answers it, and reads the next.
#include "stats/stats_server.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "leasepool/awaitable.hpp"
#include "leasepool/detail/access.hpp"

namespace leasepool::detail {

namespace {

std::string_view reason_of(unsigned status) noexcept {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 421: return "Misdirected Request";
    case 431: return "Request Header Fields Too Large";
    default: break;
  }
  return "Service Unavailable";
}

HttpAnswer refusal(unsigned status, std::string_view why) {
  return {.status = status, .body = std::make_shared<const std::string>(std::string(why) + "\n")};
}

}  // namespace

StatsServer::StatsServer(Loop& loop, Peers peers, std::vector<std::string> hosts, SocketFile file)
    : loop_(loop),
      peers_(peers),
      hosts_(std::move(hosts)),
      file_(std::move(file)),
      texts_(std::make_shared<ReportTexts>(Access::core(loop))) {}

// What goes wrong with one connection is that one's, and is nothing that the program should hear of. The listener
// itself waits where there are no descriptors left.
template <class Listener>
Task<> StatsServer::accept(std::shared_ptr<StatsServer> self, Listener listener) {
  constexpr Duration kPause = std::chrono::milliseconds(100);
  for (;;) {
    bool refused = false;
    try {
      auto accepted = listener.accept();
      Stream stream = co_await accepted;
      // Counted here: its task begins a turn later, and others may come until then.
      if (self->admits(stream)) self->loop_.spawn(converse(self, std::move(stream), Counted(self->connections_)));
    } catch (const std::exception&) {
      refused = true;
    }
    if (listener.fd() < 0) co_return;  // the loop ends
    if (!refused) continue;
    auto pause = self->loop_.sleep(kPause);
    co_await pause;
  }
}
template Task<> StatsServer::accept(std::shared_ptr<StatsServer> self, TcpListener listener);
template Task<> StatsServer::accept(std::shared_ptr<StatsServer> self, UnixListener listener);

bool StatsServer::admits(const Stream& stream) const noexcept {
  if (connections_ >= kMaxConnections) return false;
  if (peers_ == Peers::name_the_host) return true;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(stream.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

Task<> StatsServer::converse(std::shared_ptr<StatsServer> self, Stream stream, Counted /*counted*/) {
  try {
    HttpRequestReader reader;
    for (;;) {
      auto receiving = receive(stream, reader);
      const bool came = co_await receiving;
      if (!came && reader.status() == 0) co_return;  // it has ended between two requests
      const HttpRequest request = came ? reader.take() : HttpRequest{};
      HttpAnswer answer = refusal(reader.status(), "this is no request that is understood here");
      if (came) {
        auto answering = self->answer(request);
        answer = co_await answering;
      }
      auto sending = send(stream, request, std::move(answer));
      co_await sending;
      if (request.keeps_alive) continue;
      auto draining = drain(stream);
      co_return co_await draining;
    }
    // It was cut, took too long, or there is no memory for it: it ends here. NOLINTNEXTLINE(bugprone-empty-catch)
  } catch (const std::exception&) {
  }
}

Task<bool> StatsServer::receive(Stream& stream, HttpRequestReader& reader) {
  std::array<std::byte, 2048> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  auto state = reader.add({});
  while (state == HttpRequestReader::State::wants_more) {
    auto reading = stream.read(buffer, {.timeout = kPatience});
    const std::size_t size = co_await reading;
    if (size == 0) co_return false;
    state = reader.add(std::span(buffer).first(size));
  }
  co_return state == HttpRequestReader::State::has_request;
}

bool StatsServer::may_be_named(const HttpRequest& request) const noexcept {
  return peers_ == Peers::are_own_user || is_address_or_localhost(request.host) ||
         std::ranges::find(hosts_, request.host) != hosts_.end();
}

// A connection that is closed with something unread is reset, and the other end may lose the answer with it.
Task<> StatsServer::drain(Stream& stream) {
  constexpr int kMostReads = 64;
  stream.shutdown_write();
  std::array<std::byte, 4096> rest;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  for (int reads = 0; reads < kMostReads; ++reads) {
    auto reading = stream.read(rest, {.timeout = std::chrono::seconds(1)});
    if (co_await reading == 0) co_return;
  }
}

Task<HttpAnswer> StatsServer::answer(const HttpRequest& request) {
  if (!may_be_named(request)) {
    co_return refusal(421, "ask by address, or by a name of StatsServerOptions::hosts");
  }
  if (request.method != "GET" && request.method != "HEAD") co_return refusal(405, "there is nothing here but to GET");
  const std::string_view path = std::string_view(request.target).substr(0, request.target.find('?'));
  if (path == "/") {
    static const SharedText page = std::make_shared<const std::string>(stats_page());
    co_return HttpAnswer{.type = "text/html; charset=utf-8", .body = page};
  }
  if (path != "/stats.json" && path != "/metrics") co_return refusal(404, "there are /, /stats.json and /metrics");
  const bool is_json = path == "/stats.json";
  auto begin = [texts = texts_, is_json](AwaitReceiver<SharedText> receiver) {
    texts->get(is_json ? ReportTexts::Format::json : ReportTexts::Format::prometheus, std::move(receiver));
  };
  auto text = Awaitable<SharedText, decltype(begin)>(std::move(begin));
  try {
    SharedText body = co_await text;
    co_return HttpAnswer{.type = is_json ? "application/json" : "text/plain; version=0.0.4; charset=utf-8",
                         .body = std::move(body)};
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as the refusal says
  }
  co_return refusal(503, "there is no memory for it now");
}

Task<> StatsServer::send(Stream& stream, const HttpRequest& request, HttpAnswer answer) {
  std::string header = "HTTP/1.1 " + std::to_string(answer.status) + " " + std::string(reason_of(answer.status)) +
                       "\r\nContent-Type: " + std::string(answer.type) +
                       "\r\nContent-Length: " + std::to_string(answer.body->size()) +
                       "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                       "Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; style-src "
                       "'unsafe-inline'; connect-src 'self'; img-src data:\r\n";
  if (answer.status == 405) header += "Allow: GET, HEAD\r\n";
  if (!request.keeps_alive) header += "Connection: close\r\n";
  header += "\r\n";
  const std::array<std::span<const std::byte>, 2> parts = {std::as_bytes(std::span(header)),
                                                           std::as_bytes(std::span(*answer.body))};
  auto writing = stream.write(std::span(parts).first(request.method == "HEAD" ? 1 : 2), {.timeout = kPatience});
  co_await writing;
}

}  // namespace leasepool::detail
