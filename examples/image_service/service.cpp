// An HTTP service that makes thumbnails of what strangers upload: the loop reads and writes, sandboxed worker processes
// decode, and each request gets an answer. docs/image-service.md goes through it.
#include <leasepool/leasepool.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <utility>

#include "codec.hpp"
#include "http.hpp"
#include "options.hpp"
#include "page.hpp"

using namespace std::chrono_literals;
using leasepool::Errc;

namespace {

constexpr std::size_t kMostConnections = 256;  // who comes then waits to be accepted
constexpr std::size_t kMostWatchers = 32;      // of /events
constexpr auto kBetweenEvents = 500ms;
constexpr auto kWaitForWorker = 2s;
constexpr auto kTimeToFinish = 2s;                            // after a signal
constexpr std::size_t kLargestAnswer = std::size_t{1} << 20;  // of a worker: bytes

leasepool::ManagerOptions pool_options(const Options& options) {
  leasepool::ManagerOptions pool{.backend = leasepool::ExecutorBackend::process,
                                 .max_pools = options.workers,  // of one worker each: a lease lends one
                                 .min_pools = options.workers,
                                 .workers_per_pool = 1,
                                 .name_prefix = "images",
                                 .max_waiters = options.most_waiting,
                                 .stop_timeout = 1s};
  pool.sandbox = leasepool::Sandbox::compute();
  pool.worker_reuse = options.clean ? leasepool::WorkerReuse::call : leasepool::WorkerReuse::always;
  pool.spare_workers = 1;  // so that the upload after a crash finds a worker at once
  pool.worker_limits.core_size = 0;
  if (options.worker_memory != 0) pool.worker_limits.memory = options.worker_memory;
  pool.max_payload = options.most_bytes + kLargestAnswer;
  pool.max_decoded_bytes = 2 * kLargestAnswer;
  return pool;
}

Response say(int status, std::string text) {
  return {.status = status, .type = "text/plain; charset=utf-8", .body = std::move(text) + '\n'};
}

Response busy() {
  Response response = say(503, "All workers are at work. Try again.");
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

// A worker that was taken over answers what it likes: nothing of that is believed but what is checked here.
Response answer_with(Thumbnail thumbnail) {
  switch (thumbnail.verdict) {
    case Verdict::ok: {
      if (!thumbnail.png.starts_with("\x89PNG")) break;
      Response response{.type = "image/png", .body = std::move(thumbnail.png)};
      response.headers.emplace_back("X-Source", std::string(name_of(thumbnail.type)) + ", " +
                                                    std::to_string(thumbnail.width) + " x " +
                                                    std::to_string(thumbnail.height));
      return response;
    }
    case Verdict::unknown_type: return say(415, std::move(thumbnail.problem));
    case Verdict::broken: return say(400, std::move(thumbnail.problem));
    case Verdict::too_many_pixels: return say(422, std::move(thumbnail.problem));
  }
  return say(502, "The worker's answer was none.");
}

// What the library found: the function itself threw nothing.
Response answer_with(const leasepool::LeasePoolError& error) {
  if (error.code() == Errc::timed_out) return say(504, "The image took longer than it may take.");
  if (error.code() == Errc::worker_crashed) return say(502, "The worker process crashed.");
  if (error.code() == Errc::payload_too_large || error.code() == Errc::bad_payload) {
    return say(502, "The worker's answer was none.");
  }
  return busy();  // pools that are being replaced, or the end of the program
}

// Of the task of one connection. The others go on.
void report(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const leasepool::IoError&) {
    return;  // the client has gone
  } catch (const leasepool::LeasePoolError& error) {
    if (error.code() != Errc::timed_out) std::cerr << error.what() << '\n';  // it did not take its answer
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
  }
}

class ImageService {
 public:
  ImageService(leasepool::Loop& loop, const Options& options)
      : loop_(loop),
        options_(options),
        signals_(loop, {SIGTERM, SIGINT}),
        workers_(loop, pool_options(options)),
        listener_(loop, {.host = options.host, .port = options.port}),
        connections_(loop, {.on_error = report}) {}

  // Until a signal comes.
  leasepool::Task<> run() {
    auto started = workers_.start();
    co_await started;
    std::cout << "listening on http://" << options_.host << ':' << listener_.port() << std::endl;

    auto signalled = leasepool::when_any(signals_.next(), accept_clients());
    co_await signalled;
    listener_.close();
    stopping_ = true;  // who waits for an answer gets it, and no other
    auto finished = leasepool::when_any(connections_.join(), loop_.sleep(kTimeToFinish));
    co_await finished;
    connections_.cancel();  // those that are left
    auto gone = connections_.join();
    co_await gone;
    auto stopped = workers_.stop();
    co_await stopped;
  }

 private:
  leasepool::Task<> accept_clients() {
    for (;;) {
      while (connections_.size() >= kMostConnections) {
        auto pause = loop_.sleep(10ms);
        co_await pause;
      }
      auto accepting = listener_.accept();
      connections_.spawn(serve(co_await accepting));
    }
  }

  leasepool::Task<> serve(leasepool::Stream client) {
    HttpConnection connection(std::move(client), {.body_bytes = options_.most_bytes, .time = options_.client_time});
    bool keep_alive = true;
    while (keep_alive && !stopping_) {
      std::optional<Request> request;
      Response response;
      try {
        auto reading = connection.read();
        request = co_await reading;
        if (!request) co_return;
        keep_alive = request->keep_alive;
      } catch (const HttpError& error) {
        response = say(error.status(), error.what());
        keep_alive = false;
      }
      if (request && request->method == "GET" && request->target == "/events" && watchers_ < kMostWatchers) {
        auto watching = show_events(connection);
        co_await watching;
        co_return;
      }
      if (request) {
        auto answering = answer(std::move(*request));
        response = co_await answering;
      }
      keep_alive = keep_alive && !stopping_;
      ++answers_[response.status];
      auto writing = connection.write(std::move(response), keep_alive);
      co_await writing;
    }
    auto ending = connection.end();
    co_await ending;
  }

  leasepool::Task<Response> answer(Request request) {
    const std::string target = request.target.substr(0, request.target.find('?'));
    const bool is_post = request.method == "POST";
    if (target == "/thumbnail" || (target == "/crash" && options_.allow_crash)) {
      if (!is_post) co_return not_allowed("POST");
      if (target == "/thumbnail" && request.body.empty()) co_return say(400, "There is no image in the request.");
      auto working = work(target, std::move(request.body));
      co_return co_await working;
    }
    if (target != "/" && target != "/metrics" && target != "/events") co_return say(404, "There is nothing here.");
    if (request.method != "GET") co_return not_allowed("GET");
    if (target == "/events") co_return busy();  // of those who watch there are enough
    if (target == "/metrics") {
      Response metrics{.type = "text/plain; version=0.0.4", .body = leasepool::to_prometheus(workers_.stats())};
      metrics.body += answers_for_prometheus();
      co_return metrics;
    }
    Response response{.type = "text/html; charset=utf-8", .body = std::string(page())};
    co_return response;
  }

  // On a worker, whatever becomes of it.
  leasepool::Task<Response> work(std::string target, std::string upload) {
    leasepool::ExecutorLease worker;
    try {
      auto acquiring = workers_.acquire({.owner = target, .timeout = kWaitForWorker});
      worker = co_await acquiring;
    } catch (const leasepool::LeasePoolError&) {
      co_return busy();
    }
    const leasepool::LeaseCalls calls = worker.with({.timeout = options_.deadline});
    try {
      if (target == "/crash") {
        auto crashing = calls.run(crash_on_purpose);
        co_await crashing;
      }
      auto decoding = calls.run(make_thumbnail, std::move(upload), options_.most_pixels);
      co_return answer_with(co_await decoding);
    } catch (const leasepool::LeasePoolError& error) {
      co_return answer_with(error);
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';  // nothing that a function here should throw
      co_return say(500, "This went wrong on our side.");
    }
  }

  // Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html
  leasepool::Task<> show_events(HttpConnection& connection) {
    ++watchers_;
    const Watching counted(watchers_);
    Response head{.type = "text/event-stream"};
    auto beginning = connection.write_head(std::move(head));
    co_await beginning;
    while (!stopping_) {
      auto writing = connection.write_more("data: " + state() + "\n\n");
      co_await writing;
      auto pause = loop_.sleep(kBetweenEvents);
      co_await pause;
    }
  }

  // As one line of JSON.
  std::string state() const {
    const leasepool::ManagerStats stats = workers_.stats();
    std::size_t running = 0;
    for (const leasepool::LeaseStats& lease : stats.leases) running += lease.calls_running;
    const auto milliseconds = [](leasepool::Duration span) {
      return std::to_string(std::chrono::duration<double, std::milli>(span).count());
    };
    std::string json =
        "{\"workers\":" + std::to_string(stats.total) + ",\"leased\":" + std::to_string(stats.leased) +
        ",\"running\":" + std::to_string(running) + ",\"waiting\":" + std::to_string(stats.waiters.size()) +
        ",\"completed\":" + std::to_string(stats.calls_completed) +
        ",\"crashed\":" + std::to_string(stats.workers_crashed) +
        ",\"killed\":" + std::to_string(stats.workers_killed) +
        ",\"recycled\":" + std::to_string(stats.workers_recycled) + ",\"p50\":" + milliseconds(stats.call_run.p50) +
        ",\"p99\":" + milliseconds(stats.call_run.p99) + ",\"crash\":" + (options_.allow_crash ? "true" : "false") +
        ",\"clean\":" + (options_.clean ? "true" : "false") + ",\"answers\":{";
    for (const auto& [status, count] : answers_) {
      if (json.back() != '{') json += ',';
      json += '"' + std::to_string(status) + "\":" + std::to_string(count);
    }
    return json + "}}";
  }

  std::string answers_for_prometheus() const {
    std::string text = "# HELP image_service_answers_total Answers by their status.\n"
                       "# TYPE image_service_answers_total counter\n";
    for (const auto& [status, count] : answers_) {
      text += "image_service_answers_total{status=\"" + std::to_string(status) + "\"} " + std::to_string(count) + '\n';
    }
    return text;
  }

  static Response not_allowed(const char* method) {
    Response response = say(405, std::string("This is for ") + method + '.');
    response.headers.emplace_back("Allow", method);
    return response;
  }

  // Counts one less when its coroutine ends, however that ends.
  class Watching {
   public:
    explicit Watching(std::size_t& watchers) noexcept : watchers_(watchers) {}
    Watching(const Watching&) = delete;
    Watching& operator=(const Watching&) = delete;
    ~Watching() { --watchers_; }

   private:
    std::size_t& watchers_;
  };

  leasepool::Loop& loop_;
  Options options_;
  leasepool::SignalSet signals_;
  leasepool::LeasedExecutorManager workers_;
  leasepool::TcpListener listener_;
  std::map<int, std::uint64_t> answers_;
  std::size_t watchers_ = 0;
  bool stopping_ = false;
  leasepool::TaskGroup connections_;
};

}  // namespace

int main(int argc, char** argv) {
  leasepool::init();  // first: while the program has one thread
  try {
    leasepool::Loop loop;
    ImageService service(loop, parse_options(argc, argv));
    loop.block_on(service.run());
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
