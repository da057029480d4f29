// Queues whose elements carry the links (members `next` and `previous`, pointers to them or to a base): a FIFO for one
// thread, and a mailbox that many threads push to and one takes whole.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "base/check.hpp"

namespace leasepool::detail {

// First in, first out; owns its elements. One thread, or under a lock.
template <class T>
class IntrusiveQueue {
 public:
  IntrusiveQueue() = default;
  IntrusiveQueue(IntrusiveQueue&& other) noexcept
      : head_(std::exchange(other.head_, nullptr)),
        tail_(std::exchange(other.tail_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  IntrusiveQueue& operator=(IntrusiveQueue&& other) noexcept {
    if (this != &other) {
      clear();
      head_ = std::exchange(other.head_, nullptr);
      tail_ = std::exchange(other.tail_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  IntrusiveQueue(const IntrusiveQueue&) = delete;
  IntrusiveQueue& operator=(const IntrusiveQueue&) = delete;
  ~IntrusiveQueue() { clear(); }

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  void push_back(std::unique_ptr<T> element) noexcept {
    T* const added = element.release();
    added->next = nullptr;
    added->previous = tail_;
    if (tail_ == nullptr)
      head_ = added;
    else
      tail_->next = added;
    tail_ = added;
    ++size_;
  }
  void push_front(std::unique_ptr<T> element) noexcept {
    T* const added = element.release();
    added->next = head_;
    added->previous = nullptr;
    if (head_ == nullptr)
      tail_ = added;
    else
      head_->previous = added;
    head_ = added;
    ++size_;
  }
  void append(IntrusiveQueue other) noexcept {
    if (other.empty()) return;
    other.head_->previous = tail_;
    if (tail_ == nullptr)
      head_ = other.head_;
    else
      tail_->next = other.head_;
    tail_ = other.tail_;
    size_ += other.size_;
    other.head_ = other.tail_ = nullptr;
    other.size_ = 0;
  }
  [[nodiscard]] T& front() const noexcept { return *head_; }
  [[nodiscard]] std::unique_ptr<T> pop_front() noexcept {
    check(head_ != nullptr, "there is an element to be taken from the front of a queue");
    return remove(*head_);
  }
  [[nodiscard]] std::unique_ptr<T> pop_back() noexcept {
    check(tail_ != nullptr, "there is an element to be taken from the back of a queue");
    return remove(*tail_);
  }

  // Takes out an element that is in this queue.
  [[nodiscard]] std::unique_ptr<T> remove(T& element) noexcept {
    T* const next = static_cast<T*>(element.next);
    T* const previous = static_cast<T*>(element.previous);
    check((previous == nullptr ? head_ : previous->next) == &element, "an element is taken out of the queue it is in");
    check((next == nullptr ? tail_ : next->previous) == &element, "the elements of a queue are linked both ways");
    if (previous == nullptr)
      head_ = next;
    else
      previous->next = next;
    if (next == nullptr)
      tail_ = previous;
    else
      next->previous = previous;
    element.next = element.previous = nullptr;
    --size_;
    return std::unique_ptr<T>(&element);
  }
  void clear() noexcept {
    while (!empty()) (void)pop_front();
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
  std::size_t size_ = 0;
};

// Many producers, one consumer, without a lock (a Treiber stack that is only ever taken whole, so without ABA). Once
// closed it refuses pushes. Every access is seq_cst, as the sleeping flag of the inbox needs a single order with it.
template <class T>
class IntrusiveMailbox {
 public:
  IntrusiveMailbox() = default;
  IntrusiveMailbox(const IntrusiveMailbox&) = delete;
  IntrusiveMailbox& operator=(const IntrusiveMailbox&) = delete;
  ~IntrusiveMailbox() { (void)close(); }

  // Any thread. Returns the element when closed, else null.
  [[nodiscard]] std::unique_ptr<T> push(std::unique_ptr<T> element) noexcept {
    T* head = head_.load();
    do {
      if (head == closed()) return element;
      element->next = head;
    } while (!head_.compare_exchange_weak(head, element.get()));
    (void)element.release();
    return nullptr;
  }
  [[nodiscard]] bool empty() const noexcept {
    T* const head = head_.load();
    return head == nullptr || head == closed();
  }
  // The consumer: everything pushed so far, oldest first.
  [[nodiscard]] IntrusiveQueue<T> take_all() noexcept {
    return head_.load() == closed() ? IntrusiveQueue<T>() : oldest_first(head_.exchange(nullptr));
  }
  // The consumer: refuses pushes from now on, and returns what is left.
  [[nodiscard]] IntrusiveQueue<T> close() noexcept {
    T* const head = head_.exchange(closed());
    return head == closed() ? IntrusiveQueue<T>() : oldest_first(head);
  }

 private:
  T* closed() const noexcept { return reinterpret_cast<T*>(const_cast<std::atomic<T*>*>(&head_)); }
  static IntrusiveQueue<T> oldest_first(T* newest) noexcept {
    IntrusiveQueue<T> queue;
    while (newest != nullptr) {
      T* const older = newest->next;
      queue.push_front(std::unique_ptr<T>(newest));
      newest = older;
    }
    return queue;
  }
  std::atomic<T*> head_ = nullptr;
};

}  // namespace leasepool::detail
