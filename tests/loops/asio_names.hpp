// asio, standalone or Boost's, as `net`.
#pragma once

#include <utility>  // which Boost 1.74 forgets

#ifdef LEASEPOOL_ASIO_BOOST
#include <boost/asio.hpp>
namespace net = boost::asio;
using NetErrorCode = boost::system::error_code;
#else
#include <asio.hpp>
namespace net = asio;
using NetErrorCode = asio::error_code;
#endif
