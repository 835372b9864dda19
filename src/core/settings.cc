#include "sipnat/core/settings.h"

namespace sipnat {

std::optional<PortRange> parse_media_ports(std::string_view text) {
    const auto range = parse_port_range(text);
    if (!range || number(range->low) < 1024) return std::nullopt;
    const int first_even = number(range->low) + number(range->low) % 2;
    if (first_even + 1 > number(range->high)) return std::nullopt;
    return range;
}

}  // namespace sipnat
