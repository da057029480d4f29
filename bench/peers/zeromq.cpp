// ZeroMQ: a DEALER in the loop, which shares out the calls to the DEALERs of two worker processes over ipc. REP sockets
// would need an empty frame before each message; a call here is one message, with the number of its slot for the way
// back.
#include <zmq.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "alarms.hpp"
#include "scenario.hpp"
#include "worker_process.hpp"

namespace {

using peers::Alarm;

struct Message {
  std::uint64_t slot;
  std::uint64_t value;
};

[[noreturn]] void fail() { peers::fail(std::string("ZeroMQ: ") + zmq_strerror(zmq_errno())); }

class Dealer {
 public:
  Dealer() {
    const int unlimited = 0;  // a full queue on the way there could wait for a full one on the way back
    if (socket_ == nullptr || zmq_setsockopt(socket_, ZMQ_SNDHWM, &unlimited, sizeof unlimited) != 0 ||
        zmq_setsockopt(socket_, ZMQ_RCVHWM, &unlimited, sizeof unlimited) != 0) {
      fail();
    }
  }
  Dealer(const Dealer&) = delete;
  Dealer& operator=(const Dealer&) = delete;
  ~Dealer() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }

  void listen(const std::string& name) {
    if (zmq_bind(socket_, address_of(name).c_str()) != 0) fail();
  }
  void connect(const std::string& name) {
    if (zmq_connect(socket_, address_of(name).c_str()) != 0) fail();
  }

  void send(const Message& message) {
    if (zmq_send(socket_, &message, sizeof message, 0) != sizeof message) fail();
  }

  // False where there is none and `flags` say not to wait.
  bool receive(Message& message, int flags) {
    const int size = zmq_recv(socket_, &message, sizeof message, flags);
    if (size < 0 && zmq_errno() == EAGAIN) return false;
    if (size != sizeof message) fail();
    return true;
  }

  void wait(int milliseconds) {
    zmq_pollitem_t item = {.socket = socket_, .fd = -1, .events = ZMQ_POLLIN, .revents = 0};
    if (zmq_poll(&item, 1, milliseconds) < 0) fail();
  }

 private:
  static std::string address_of(const std::string& name) { return "ipc://@" + name; }

  void* context_ = zmq_ctx_new();
  void* socket_ = zmq_socket(context_, ZMQ_DEALER);
};

constexpr auto kServe = [](const std::string& name, const auto& ready) {
  Dealer dealer;
  dealer.listen(name);
  ready();
  Message message{};
  while (dealer.receive(message, 0)) {
    message.value = peers::nothing(message.value);
    dealer.send(message);
  }
};

class Zeromq {
 public:
  static constexpr const char* kName = "zeromq";
  static std::string version() {
    int major = 0;
    int minor = 0;
    int patch = 0;
    zmq_version(&major, &minor, &patch);
    return std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(patch);
  }

  Zeromq(peers::Caller& caller, const peers::Scenario& /*scenario*/) : caller_(caller) {
    for (const peers::WorkerProcess& worker : workers_) dealer_.connect(worker.name());
  }

  void call(std::size_t slot, std::uint64_t argument) { dealer_.send({.slot = slot, .value = argument}); }
  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) { alarms_.set(alarm, delay); }

  void run() {
    while (!stopped_) {
      dealer_.wait(alarms_.next_milliseconds());
      Message message{};
      for (std::size_t taken = 0; taken < kMostAtOnce && dealer_.receive(message, ZMQ_DONTWAIT); ++taken) {
        caller_.ended(message.slot, message.value);
      }
      alarms_.ring_those_due(caller_);
    }
  }
  void stop() { stopped_ = true; }

 private:
  static constexpr std::size_t kMostAtOnce = 256;  // then the alarms have their turn

  peers::Caller& caller_;
  peers::WorkerProcess workers_[peers::kWorkers] = {{0, kServe}, {1, kServe}};  // before ZeroMQ's threads
  Dealer dealer_;
  peers::Alarms alarms_;
  bool stopped_ = false;
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<Zeromq>(count, arguments); }
