// StatsServer: answers HTTP requests with what a loop's managers, grinders and nodes do.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/socket_file.hpp"
#include "leasepool/listener.hpp"
#include "leasepool/loop.hpp"
#include "leasepool/stream.hpp"
#include "leasepool/task.hpp"
#include "stats/http_request.hpp"
#include "stats/report_texts.hpp"

namespace leasepool::detail {

// The page at "/".
[[nodiscard]] std::string_view stats_page() noexcept;

struct HttpAnswer {
  unsigned status = 200;
  std::string_view type = "text/plain; charset=utf-8";
  SharedText body{};
};

// Loop thread only; lives as long as the tasks that it has spawned there.
class StatsServer : public std::enable_shared_from_this<StatsServer> {
 public:
  // Of a Unix socket, whose file it removes in the end: this process's user and root alone are answered. Of TCP:
  // whoever asks for one of the hosts, for an address, or for localhost.
  enum class Peers { are_own_user, name_the_host };

  StatsServer(Loop& loop, Peers peers, std::vector<std::string> hosts, SocketFile file = {});

  // Until the loop ends.
  template <class Listener>
  void serve(Listener listener) {
    loop_.spawn(accept(shared_from_this(), std::move(listener)));
  }

 private:
  // Whoever comes when there are so many is turned away.
  static constexpr std::size_t kMaxConnections = 64;
  static constexpr Duration kPatience = std::chrono::seconds(30);

  // One of the connections, for as long as it lives.
  class Counted {
   public:
    explicit Counted(std::size_t& all) noexcept : all_(&all) { ++all; }
    Counted(Counted&& other) noexcept : all_(std::exchange(other.all_, nullptr)) {}
    Counted& operator=(Counted&&) = delete;
    ~Counted() {
      if (all_ != nullptr) --*all_;
    }

   private:
    std::size_t* all_;
  };

  template <class Listener>
  static Task<> accept(std::shared_ptr<StatsServer> self, Listener listener);
  static Task<> converse(std::shared_ptr<StatsServer> self, Stream stream, Counted counted);
  // Whether a request has come. Otherwise the reader says what is wrong with it, or the connection has ended.
  static Task<bool> receive(Stream& stream, HttpRequestReader& reader);
  Task<HttpAnswer> answer(const HttpRequest& request);
  static Task<> send(Stream& stream, const HttpRequest& request, HttpAnswer answer);
  static Task<> drain(Stream& stream);
  [[nodiscard]] bool admits(const Stream& stream) const noexcept;
  [[nodiscard]] bool may_be_named(const HttpRequest& request) const noexcept;

  Loop& loop_;
  const Peers peers_;
  const std::vector<std::string> hosts_;
  const SocketFile file_;
  const std::shared_ptr<ReportTexts> texts_;
  std::size_t connections_ = 0;
};

}  // namespace leasepool::detail
