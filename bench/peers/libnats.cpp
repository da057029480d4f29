// libnats, the C client of NATS: 16 bytes through a server to another process and back. With one call under way it
// sends at once; with several its own thread sends what has gathered, which is the quicker way there.
#include <nats/nats.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "alarms.hpp"
#include "nats_server.hpp"
#include "scenario.hpp"
#include "worker_process.hpp"

namespace {

using peers::Alarm;

constexpr const char* kAsk = "ask";
constexpr const char* kAnswer = "answer";

struct Message {
  std::uint64_t slot;
  std::uint64_t value;
};

void check(natsStatus status) {
  if (status != NATS_OK) peers::fail(std::string("libnats: ") + natsStatus_GetText(status));
}

class Client {
 public:
  Client(const std::string& url, const char* subscription, const peers::Scenario& scenario) {
    natsOptions* options = nullptr;
    check(natsOptions_Create(&options));
    check(natsOptions_SetURL(options, url.c_str()));
    check(natsOptions_SetSendAsap(options, scenario.most_in_flight == 1));
    check(natsConnection_Connect(&connection_, options));
    natsOptions_Destroy(options);
    check(natsConnection_SubscribeSync(&subscription_, connection_, subscription));
    check(natsConnection_Flush(connection_));
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    natsSubscription_Destroy(subscription_);
    natsConnection_Destroy(connection_);
  }

  void publish(const char* subject, const Message& message) {
    check(natsConnection_Publish(connection_, subject, &message, sizeof message));
  }

  // False where none has come within that time.
  bool receive(Message& message, std::int64_t milliseconds) {
    natsMsg* received = nullptr;
    const natsStatus status = natsSubscription_NextMsg(&received, subscription_, milliseconds);
    if (status == NATS_TIMEOUT) return false;
    check(status);
    if (natsMsg_GetDataLength(received) != sizeof message) peers::fail("a message that is none of ours");
    std::memcpy(&message, natsMsg_GetData(received), sizeof message);
    natsMsg_Destroy(received);
    return true;
  }

 private:
  natsConnection* connection_ = nullptr;
  natsSubscription* subscription_ = nullptr;
};

class Libnats {
 public:
  static constexpr const char* kName = "libnats";
  static std::string version() { return nats_GetVersion(); }

  Libnats(peers::Caller& caller, const peers::Scenario& scenario)
      : caller_(caller), scenario_(scenario), client_(server_.url(), kAnswer, scenario) {}

  void call(std::size_t slot, std::uint64_t argument) { client_.publish(kAsk, {.slot = slot, .value = argument}); }
  void set_alarm(Alarm alarm, std::chrono::milliseconds delay) { alarms_.set(alarm, delay); }

  void run() {
    while (!stopped_) {
      Message message{};
      std::int64_t patience = alarms_.next_milliseconds();
      for (std::size_t taken = 0; taken < kMostAtOnce && client_.receive(message, patience); ++taken) {
        caller_.ended(message.slot, message.value);
        patience = 0;
      }
      alarms_.ring_those_due(caller_);
    }
  }
  void stop() { stopped_ = true; }

 private:
  static constexpr std::size_t kMostAtOnce = 256;  // then the alarms have their turn

  peers::Caller& caller_;
  peers::Scenario scenario_;
  peers::NatsServer server_;
  peers::WorkerProcess worker_{0, [this](const std::string& /*name*/, const auto& ready) {
                                 Client client(server_.url(), kAsk, scenario_);
                                 ready();
                                 for (;;) {
                                   Message message{};
                                   if (!client.receive(message, 1000)) continue;
                                   message.value = peers::nothing(message.value);
                                   client.publish(kAnswer, message);
                                 }
                               }};  // before the client's threads
  Client client_;
  peers::Alarms alarms_;
  bool stopped_ = false;
};

}  // namespace

int main(int count, char** arguments) { return peers::run_peer<Libnats>(count, arguments); }
