// A network in prefix notation, as settings name one: 192.168.77.0/24.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sipnat/net/address.h"

namespace sipnat {

/// What bits beyond the length say: that the writer meant something else, or nothing.
enum class HostBits : std::uint8_t { refused, ignored };

class Network {
  public:
    /// ADDRESS/LENGTH, or an address alone, which is a network of one. Nothing if it is neither, or
    /// if bits beyond the length are set and refused.
    [[nodiscard]] static std::optional<Network> parse(std::string_view text,
                                                      HostBits host_bits = HostBits::refused);

    [[nodiscard]] const IpAddress& address() const { return address_; }
    [[nodiscard]] bool contains(const IpAddress& address) const;
    /// Always with its length.
    [[nodiscard]] std::string text() const;

    bool operator==(const Network&) const = default;

  private:
    Network(IpAddress address, int length) : address_(address), length_(length) {}

    IpAddress address_;
    int length_;  ///< bits, 0 to 32 or 128
};

}  // namespace sipnat
