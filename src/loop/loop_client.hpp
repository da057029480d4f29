// LoopClient: something that lives on a loop and must end with it.
#pragma once

#include <list>

namespace leasepool::detail {

struct LoopReport;

// Loop thread only. It goes after it was detached, or after its loop.
class LoopClient {
 public:
  // The loop is being destroyed: end everything that is in flight, now. Still on the loop's thread; no callback of the
  // caller's runs any more.
  virtual void loop_closing() noexcept = 0;

  // Adds what it is and does now, where that is for people to see. Throws std::bad_alloc.
  virtual void add_to(LoopReport& /*report*/) {}

 protected:
  virtual ~LoopClient() = default;

 private:
  friend class LoopClients;
  std::list<LoopClient*>::iterator place_{};  // while it is attached
  bool attached_ = false;
};

// Those that are attached, in the order in which they came. One thread.
class LoopClients {
 public:
  // Throws std::bad_alloc.
  void attach(LoopClient& client) {
    client.place_ = clients_.insert(clients_.end(), &client);
    client.attached_ = true;
  }
  void detach(LoopClient& client) noexcept {
    if (!client.attached_) return;
    client.attached_ = false;
    clients_.erase(client.place_);
  }
  void add_to(LoopReport& report) const {
    for (LoopClient* const client : clients_) client->add_to(report);
  }
  // The last of them, which is detached; null if there is none.
  [[nodiscard]] LoopClient* take_last() noexcept {
    if (clients_.empty()) return nullptr;
    LoopClient* const last = clients_.back();
    detach(*last);
    return last;
  }

 private:
  std::list<LoopClient*> clients_;
};

}  // namespace leasepool::detail
