// The number of a netfilter queue, as nft's `queue to` and nfnetlink_queue know it.
#pragma once

#include <cstdint>

namespace sipnat::netfilter {

enum class QueueNumber : std::uint16_t {};

[[nodiscard]] constexpr std::uint16_t number(QueueNumber queue) {
    return static_cast<std::uint16_t>(queue);
}

}  // namespace sipnat::netfilter
