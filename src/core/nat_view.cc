#include "sipnat/core/nat_view.h"

namespace sipnat {

NatView NatView::of(const FlowTuples& flow, FlowDirection direction) {
    const auto& there = direction == FlowDirection::original ? flow.original : flow.reply;
    const auto& back = direction == FlowDirection::original ? flow.reply : flow.original;
    return of(there.source, back.destination, there.destination, back.source, there.transport);
}

NatView NatView::of(Endpoint source, Endpoint translated_source, Endpoint destination,
                    Endpoint translated_destination, Transport transport) {
    NatView view;
    view.transport = transport;
    view.sender = {source, translated_source, false};
    view.receiver = {translated_destination, destination, false};
    const bool plain = !view.sender.translated() && !view.receiver.translated();
    view.sender.inside = plain || view.sender.translated();
    view.receiver.inside = plain || view.receiver.translated();
    return view;
}

FlowTuples tuples_of(const NatView& opener) {
    return {{opener.sender.real, opener.receiver.shown, opener.transport},
            {opener.receiver.real, opener.sender.shown, opener.transport}};
}

}  // namespace sipnat
