// Which asio there is, standalone or Boost's, and the operations that an execution context of it takes along when it is
// destroyed. Of leasepool/asio.hpp, with which the macros end.
#pragma once

#if defined(LEASEPOOL_ASIO_BOOST) || !__has_include(<asio.hpp>)
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/system_executor.hpp>
#include <boost/system/system_error.hpp>
#if __has_include(<boost/asio/associated_cancellation_slot.hpp>)  // since 1.77
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/cancellation_type.hpp>
#define LEASEPOOL_DETAIL_ASIO_SLOTS
#endif
#define LEASEPOOL_DETAIL_ASIO_KIND boost_asio
namespace leasepool::detail::asio_side::inline boost_asio {
namespace net = ::boost::asio;
using NetErrorCode = ::boost::system::error_code;
using NetSystemError = ::boost::system::system_error;
}  // namespace leasepool::detail::asio_side::inline boost_asio
#else
#include <asio/associated_allocator.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/dispatch.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>
#include <asio/system_error.hpp>
#include <asio/system_executor.hpp>
#if __has_include(<asio/associated_cancellation_slot.hpp>)  // since 1.19
#include <asio/associated_cancellation_slot.hpp>
#include <asio/cancellation_type.hpp>
#define LEASEPOOL_DETAIL_ASIO_SLOTS
#endif
#define LEASEPOOL_DETAIL_ASIO_KIND standalone_asio
namespace leasepool::detail::asio_side::inline standalone_asio {
namespace net = ::asio;
using NetErrorCode = ::asio::error_code;
using NetSystemError = ::asio::system_error;
}  // namespace leasepool::detail::asio_side::inline standalone_asio
#endif

#include <memory>
#include <mutex>
#include <type_traits>

namespace leasepool::detail::asio_side::inline LEASEPOOL_DETAIL_ASIO_KIND {

// An operation that is under way. Any thread.
class Outstanding : public std::enable_shared_from_this<Outstanding> {
 public:
  Outstanding() = default;
  Outstanding(const Outstanding&) = delete;
  Outstanding& operator=(const Outstanding&) = delete;
  virtual ~Outstanding() = default;

  // Destroys the handler, which is not called, and lets go of its context.
  virtual void abandon() noexcept = 0;

 private:
  friend class OutstandingList;
  Outstanding* previous_ = nullptr;
  Outstanding* next_ = nullptr;
  bool listed_ = false;
};

// Those of one execution context. Who takes one out of it, and only he, may touch its handler. Any thread.
class OutstandingList {
 public:
  void add(Outstanding& operation) noexcept {
    const std::scoped_lock lock(mutex_);
    operation.next_ = first_;
    if (first_ != nullptr) first_->previous_ = &operation;
    first_ = &operation;
    operation.listed_ = true;
  }
  // Whether it was there.
  bool remove(Outstanding& operation) noexcept {
    const std::scoped_lock lock(mutex_);
    if (!operation.listed_) return false;
    unlink(operation);
    return true;
  }
  void abandon_all() noexcept {
    std::unique_lock lock(mutex_);
    while (first_ != nullptr) {
      Outstanding& operation = *first_;
      unlink(operation);
      const auto kept = operation.weak_from_this().lock();  // null while its destructor waits for this lock
      lock.unlock();
      if (kept) kept->abandon();
      lock.lock();
    }
  }

 private:
  void unlink(Outstanding& operation) noexcept {
    (operation.previous_ == nullptr ? first_ : operation.previous_->next_) = operation.next_;
    if (operation.next_ != nullptr) operation.next_->previous_ = operation.previous_;
    operation.previous_ = operation.next_ = nullptr;
    operation.listed_ = false;
  }

  std::mutex mutex_;
  Outstanding* first_ = nullptr;
};

// Hears of the context's end.
class OutstandingService final : public net::execution_context::service {
 public:
  inline static net::execution_context::id id;

  explicit OutstandingService(net::execution_context& context) : service(context) {}
  [[nodiscard]] const std::shared_ptr<OutstandingList>& list() const noexcept { return list_; }

 private:
  void shutdown() noexcept override { list_->abandon_all(); }

  std::shared_ptr<OutstandingList> list_ = std::make_shared<OutstandingList>();
};

// Those of the executor's context.
template <class Executor>
std::shared_ptr<OutstandingList> outstanding_of(const Executor& executor) {
  if constexpr (net::can_query<Executor, net::execution::context_t>::value) {
    net::execution_context& context = net::query(executor, net::execution::context);
    return net::use_service<OutstandingService>(context).list();
  } else {
    return net::use_service<OutstandingService>(executor.context()).list();
  }
}

}  // namespace leasepool::detail::asio_side::inline LEASEPOOL_DETAIL_ASIO_KIND
