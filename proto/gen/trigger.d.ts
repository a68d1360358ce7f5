import * as $protobuf from "protobufjs/minimal.js";

/** Namespace millrace. */
export namespace millrace {

    /** Namespace trigger. */
    namespace trigger {

        /** Namespace v1. */
        namespace v1 {

            /**
             * Properties of a TriggerMessage.
             * @deprecated Use millrace.trigger.v1.TriggerMessage.$Properties instead.
             */
            interface ITriggerMessage extends millrace.trigger.v1.TriggerMessage.$Properties {
            }

            /** Represents a TriggerMessage. */
            class TriggerMessage {

                /**
                 * Constructs a new TriggerMessage.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: millrace.trigger.v1.TriggerMessage.$Properties);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];

                /** TriggerMessage sync. */
                sync: string;

                /** TriggerMessage streams. */
                streams: string[];

                /** TriggerMessage ranges. */
                ranges: millrace.trigger.v1.KeyRange.$Properties[];

                /** TriggerMessage window. */
                window?: (millrace.trigger.v1.CursorWindow.$Properties|null);

                /** TriggerMessage key. */
                key?: (string|null);

                /**
                 * Encodes the specified TriggerMessage message. Does not implicitly {@link millrace.trigger.v1.TriggerMessage.verify|verify} messages.
                 * @param message TriggerMessage message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encode(message: millrace.trigger.v1.TriggerMessage.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Encodes the specified TriggerMessage message, length delimited. Does not implicitly {@link millrace.trigger.v1.TriggerMessage.verify|verify} messages.
                 * @param message TriggerMessage message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encodeDelimited(message: millrace.trigger.v1.TriggerMessage.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a TriggerMessage message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns {millrace.trigger.v1.TriggerMessage & millrace.trigger.v1.TriggerMessage.$Shape} TriggerMessage
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.trigger.v1.TriggerMessage & millrace.trigger.v1.TriggerMessage.$Shape;

                /**
                 * Decodes a TriggerMessage message from the specified reader or buffer, length delimited.
                 * @param reader Reader or buffer to decode from
                 * @returns {millrace.trigger.v1.TriggerMessage & millrace.trigger.v1.TriggerMessage.$Shape} TriggerMessage
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.trigger.v1.TriggerMessage & millrace.trigger.v1.TriggerMessage.$Shape;
            }

            namespace TriggerMessage {

                /** Properties of a TriggerMessage. */
                interface $Properties {

                    /** TriggerMessage sync */
                    sync?: (string|null);

                    /** TriggerMessage streams */
                    streams?: (string[]|null);

                    /** TriggerMessage ranges */
                    ranges?: (millrace.trigger.v1.KeyRange.$Properties[]|null);

                    /** TriggerMessage window */
                    window?: (millrace.trigger.v1.CursorWindow.$Properties|null);

                    /** TriggerMessage key */
                    key?: (string|null);

                    /** Unknown fields preserved while decoding when enabled */
                    $unknowns?: Uint8Array[];
                }

                /** Shape of a TriggerMessage. */
                type $Shape = millrace.trigger.v1.TriggerMessage.$Properties;
            }

            /**
             * Properties of a KeyRange.
             * @deprecated Use millrace.trigger.v1.KeyRange.$Properties instead.
             */
            interface IKeyRange extends millrace.trigger.v1.KeyRange.$Properties {
            }

            /** Represents a KeyRange. */
            class KeyRange {

                /**
                 * Constructs a new KeyRange.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: millrace.trigger.v1.KeyRange.$Properties);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];

                /** KeyRange stream. */
                stream: string;

                /** KeyRange column. */
                column: string;

                /** KeyRange from. */
                from?: (string|null);

                /** KeyRange until. */
                until?: (string|null);

                /**
                 * Encodes the specified KeyRange message. Does not implicitly {@link millrace.trigger.v1.KeyRange.verify|verify} messages.
                 * @param message KeyRange message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encode(message: millrace.trigger.v1.KeyRange.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Encodes the specified KeyRange message, length delimited. Does not implicitly {@link millrace.trigger.v1.KeyRange.verify|verify} messages.
                 * @param message KeyRange message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encodeDelimited(message: millrace.trigger.v1.KeyRange.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a KeyRange message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns {millrace.trigger.v1.KeyRange & millrace.trigger.v1.KeyRange.$Shape} KeyRange
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.trigger.v1.KeyRange & millrace.trigger.v1.KeyRange.$Shape;

                /**
                 * Decodes a KeyRange message from the specified reader or buffer, length delimited.
                 * @param reader Reader or buffer to decode from
                 * @returns {millrace.trigger.v1.KeyRange & millrace.trigger.v1.KeyRange.$Shape} KeyRange
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.trigger.v1.KeyRange & millrace.trigger.v1.KeyRange.$Shape;
            }

            namespace KeyRange {

                /** Properties of a KeyRange. */
                interface $Properties {

                    /** KeyRange stream */
                    stream?: (string|null);

                    /** KeyRange column */
                    column?: (string|null);

                    /** KeyRange from */
                    from?: (string|null);

                    /** KeyRange until */
                    until?: (string|null);

                    /** Unknown fields preserved while decoding when enabled */
                    $unknowns?: Uint8Array[];
                }

                /** Shape of a KeyRange. */
                type $Shape = millrace.trigger.v1.KeyRange.$Properties;
            }

            /**
             * Properties of a CursorWindow.
             * @deprecated Use millrace.trigger.v1.CursorWindow.$Properties instead.
             */
            interface ICursorWindow extends millrace.trigger.v1.CursorWindow.$Properties {
            }

            /** Represents a CursorWindow. */
            class CursorWindow {

                /**
                 * Constructs a new CursorWindow.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: millrace.trigger.v1.CursorWindow.$Properties);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];

                /** CursorWindow from. */
                from?: (string|null);

                /** CursorWindow to. */
                to?: (string|null);

                /**
                 * Encodes the specified CursorWindow message. Does not implicitly {@link millrace.trigger.v1.CursorWindow.verify|verify} messages.
                 * @param message CursorWindow message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encode(message: millrace.trigger.v1.CursorWindow.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Encodes the specified CursorWindow message, length delimited. Does not implicitly {@link millrace.trigger.v1.CursorWindow.verify|verify} messages.
                 * @param message CursorWindow message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encodeDelimited(message: millrace.trigger.v1.CursorWindow.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a CursorWindow message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns {millrace.trigger.v1.CursorWindow & millrace.trigger.v1.CursorWindow.$Shape} CursorWindow
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.trigger.v1.CursorWindow & millrace.trigger.v1.CursorWindow.$Shape;

                /**
                 * Decodes a CursorWindow message from the specified reader or buffer, length delimited.
                 * @param reader Reader or buffer to decode from
                 * @returns {millrace.trigger.v1.CursorWindow & millrace.trigger.v1.CursorWindow.$Shape} CursorWindow
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.trigger.v1.CursorWindow & millrace.trigger.v1.CursorWindow.$Shape;
            }

            namespace CursorWindow {

                /** Properties of a CursorWindow. */
                interface $Properties {

                    /** CursorWindow from */
                    from?: (string|null);

                    /** CursorWindow to */
                    to?: (string|null);

                    /** Unknown fields preserved while decoding when enabled */
                    $unknowns?: Uint8Array[];
                }

                /** Shape of a CursorWindow. */
                type $Shape = millrace.trigger.v1.CursorWindow.$Properties;
            }

            /**
             * Properties of a RunEventMessage.
             * @deprecated Use millrace.trigger.v1.RunEventMessage.$Properties instead.
             */
            interface IRunEventMessage extends millrace.trigger.v1.RunEventMessage.$Properties {
            }

            /** Represents a RunEventMessage. */
            class RunEventMessage {

                /**
                 * Constructs a new RunEventMessage.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: millrace.trigger.v1.RunEventMessage.$Properties);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];

                /** RunEventMessage type. */
                type: string;

                /** RunEventMessage sync. */
                sync: string;

                /** RunEventMessage queueId. */
                queueId: string;

                /** RunEventMessage runId. */
                runId: string;

                /** RunEventMessage epoch. */
                epoch: number;

                /** RunEventMessage sequence. */
                sequence: number;

                /** RunEventMessage at. */
                at: number;

                /** RunEventMessage rowsRead. */
                rowsRead: number;

                /** RunEventMessage rowsDurable. */
                rowsDurable: number;

                /** RunEventMessage bytesRead. */
                bytesRead: number;

                /** RunEventMessage streams. */
                streams: millrace.trigger.v1.StreamResult.$Properties[];

                /** RunEventMessage streamsLeftOut. */
                streamsLeftOut: number;

                /** RunEventMessage error. */
                error?: (millrace.trigger.v1.RunError.$Properties|null);

                /**
                 * Encodes the specified RunEventMessage message. Does not implicitly {@link millrace.trigger.v1.RunEventMessage.verify|verify} messages.
                 * @param message RunEventMessage message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encode(message: millrace.trigger.v1.RunEventMessage.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Encodes the specified RunEventMessage message, length delimited. Does not implicitly {@link millrace.trigger.v1.RunEventMessage.verify|verify} messages.
                 * @param message RunEventMessage message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encodeDelimited(message: millrace.trigger.v1.RunEventMessage.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a RunEventMessage message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns {millrace.trigger.v1.RunEventMessage & millrace.trigger.v1.RunEventMessage.$Shape} RunEventMessage
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.trigger.v1.RunEventMessage & millrace.trigger.v1.RunEventMessage.$Shape;

                /**
                 * Decodes a RunEventMessage message from the specified reader or buffer, length delimited.
                 * @param reader Reader or buffer to decode from
                 * @returns {millrace.trigger.v1.RunEventMessage & millrace.trigger.v1.RunEventMessage.$Shape} RunEventMessage
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.trigger.v1.RunEventMessage & millrace.trigger.v1.RunEventMessage.$Shape;
            }

            namespace RunEventMessage {

                /** Properties of a RunEventMessage. */
                interface $Properties {

                    /** RunEventMessage type */
                    type?: (string|null);

                    /** RunEventMessage sync */
                    sync?: (string|null);

                    /** RunEventMessage queueId */
                    queueId?: (string|null);

                    /** RunEventMessage runId */
                    runId?: (string|null);

                    /** RunEventMessage epoch */
                    epoch?: (number|null);

                    /** RunEventMessage sequence */
                    sequence?: (number|null);

                    /** RunEventMessage at */
                    at?: (number|null);

                    /** RunEventMessage rowsRead */
                    rowsRead?: (number|null);

                    /** RunEventMessage rowsDurable */
                    rowsDurable?: (number|null);

                    /** RunEventMessage bytesRead */
                    bytesRead?: (number|null);

                    /** RunEventMessage streams */
                    streams?: (millrace.trigger.v1.StreamResult.$Properties[]|null);

                    /** RunEventMessage streamsLeftOut */
                    streamsLeftOut?: (number|null);

                    /** RunEventMessage error */
                    error?: (millrace.trigger.v1.RunError.$Properties|null);

                    /** Unknown fields preserved while decoding when enabled */
                    $unknowns?: Uint8Array[];
                }

                /** Shape of a RunEventMessage. */
                type $Shape = millrace.trigger.v1.RunEventMessage.$Properties;
            }

            /**
             * Properties of a StreamResult.
             * @deprecated Use millrace.trigger.v1.StreamResult.$Properties instead.
             */
            interface IStreamResult extends millrace.trigger.v1.StreamResult.$Properties {
            }

            /** Represents a StreamResult. */
            class StreamResult {

                /**
                 * Constructs a new StreamResult.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: millrace.trigger.v1.StreamResult.$Properties);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];

                /** StreamResult stream. */
                stream: string;

                /** StreamResult state. */
                state: string;

                /** StreamResult rows. */
                rows: number;

                /** StreamResult files. */
                files: number;

                /**
                 * Encodes the specified StreamResult message. Does not implicitly {@link millrace.trigger.v1.StreamResult.verify|verify} messages.
                 * @param message StreamResult message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encode(message: millrace.trigger.v1.StreamResult.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Encodes the specified StreamResult message, length delimited. Does not implicitly {@link millrace.trigger.v1.StreamResult.verify|verify} messages.
                 * @param message StreamResult message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encodeDelimited(message: millrace.trigger.v1.StreamResult.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a StreamResult message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns {millrace.trigger.v1.StreamResult & millrace.trigger.v1.StreamResult.$Shape} StreamResult
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.trigger.v1.StreamResult & millrace.trigger.v1.StreamResult.$Shape;

                /**
                 * Decodes a StreamResult message from the specified reader or buffer, length delimited.
                 * @param reader Reader or buffer to decode from
                 * @returns {millrace.trigger.v1.StreamResult & millrace.trigger.v1.StreamResult.$Shape} StreamResult
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.trigger.v1.StreamResult & millrace.trigger.v1.StreamResult.$Shape;
            }

            namespace StreamResult {

                /** Properties of a StreamResult. */
                interface $Properties {

                    /** StreamResult stream */
                    stream?: (string|null);

                    /** StreamResult state */
                    state?: (string|null);

                    /** StreamResult rows */
                    rows?: (number|null);

                    /** StreamResult files */
                    files?: (number|null);

                    /** Unknown fields preserved while decoding when enabled */
                    $unknowns?: Uint8Array[];
                }

                /** Shape of a StreamResult. */
                type $Shape = millrace.trigger.v1.StreamResult.$Properties;
            }

            /**
             * Properties of a RunError.
             * @deprecated Use millrace.trigger.v1.RunError.$Properties instead.
             */
            interface IRunError extends millrace.trigger.v1.RunError.$Properties {
            }

            /** Represents a RunError. */
            class RunError {

                /**
                 * Constructs a new RunError.
                 * @param [properties] Properties to set
                 */
                constructor(properties?: millrace.trigger.v1.RunError.$Properties);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];

                /** RunError code. */
                code: string;

                /** RunError message. */
                message: string;

                /**
                 * Encodes the specified RunError message. Does not implicitly {@link millrace.trigger.v1.RunError.verify|verify} messages.
                 * @param message RunError message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encode(message: millrace.trigger.v1.RunError.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Encodes the specified RunError message, length delimited. Does not implicitly {@link millrace.trigger.v1.RunError.verify|verify} messages.
                 * @param message RunError message or plain object to encode
                 * @param [writer] Writer to encode to
                 * @returns Writer
                 */
                static encodeDelimited(message: millrace.trigger.v1.RunError.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

                /**
                 * Decodes a RunError message from the specified reader or buffer.
                 * @param reader Reader or buffer to decode from
                 * @param [length] Message length if known beforehand
                 * @returns {millrace.trigger.v1.RunError & millrace.trigger.v1.RunError.$Shape} RunError
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.trigger.v1.RunError & millrace.trigger.v1.RunError.$Shape;

                /**
                 * Decodes a RunError message from the specified reader or buffer, length delimited.
                 * @param reader Reader or buffer to decode from
                 * @returns {millrace.trigger.v1.RunError & millrace.trigger.v1.RunError.$Shape} RunError
                 * @throws {Error} If the payload is not a reader or valid buffer
                 * @throws {$protobuf.util.ProtocolError} If required fields are missing
                 */
                static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.trigger.v1.RunError & millrace.trigger.v1.RunError.$Shape;
            }

            namespace RunError {

                /** Properties of a RunError. */
                interface $Properties {

                    /** RunError code */
                    code?: (string|null);

                    /** RunError message */
                    message?: (string|null);

                    /** Unknown fields preserved while decoding when enabled */
                    $unknowns?: Uint8Array[];
                }

                /** Shape of a RunError. */
                type $Shape = millrace.trigger.v1.RunError.$Properties;
            }
        }
    }
}
