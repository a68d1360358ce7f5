import * as $protobuf from "protobufjs/minimal.js";

/** Namespace millrace. */
export namespace millrace {

    /** Namespace v1. */
    namespace v1 {

        /**
         * Properties of a Frame.
         * @deprecated Use millrace.v1.Frame.$Properties instead.
         */
        interface IFrame extends millrace.v1.Frame.$Properties {
        }

        /** Represents a Frame. */
        class Frame {

            /**
             * Constructs a new Frame.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Frame.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Frame hello. */
            hello?: (millrace.v1.Hello.$Properties|null);

            /** Frame helloReply. */
            helloReply?: (millrace.v1.HelloReply.$Properties|null);

            /** Frame batch. */
            batch?: (millrace.v1.Batch.$Properties|null);

            /** Frame checkpoint. */
            checkpoint?: (millrace.v1.Checkpoint.$Properties|null);

            /** Frame ack. */
            ack?: (millrace.v1.Ack.$Properties|null);

            /** Frame discard. */
            discard?: (millrace.v1.Discard.$Properties|null);

            /** Frame discarded. */
            discarded?: (millrace.v1.Discarded.$Properties|null);

            /** Frame stalled. */
            stalled?: (millrace.v1.Stalled.$Properties|null);

            /** Frame schema. */
            schema?: (millrace.v1.Schema.$Properties|null);

            /** Frame probe. */
            probe?: (millrace.v1.Probe.$Properties|null);

            /** Frame fault. */
            fault?: (millrace.v1.Fault.$Properties|null);

            /** Frame end. */
            end?: (millrace.v1.End.$Properties|null);

            /** Frame kind. */
            kind?: ("hello"|"helloReply"|"batch"|"checkpoint"|"ack"|"discard"|"discarded"|"stalled"|"schema"|"probe"|"fault"|"end");

            /**
             * Encodes the specified Frame message. Does not implicitly {@link millrace.v1.Frame.verify|verify} messages.
             * @param message Frame message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Frame.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Frame message, length delimited. Does not implicitly {@link millrace.v1.Frame.verify|verify} messages.
             * @param message Frame message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Frame.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Frame message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Frame & millrace.v1.Frame.$Shape} Frame
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Frame & millrace.v1.Frame.$Shape;

            /**
             * Decodes a Frame message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Frame & millrace.v1.Frame.$Shape} Frame
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Frame & millrace.v1.Frame.$Shape;
        }

        namespace Frame {

            /** Properties of a Frame. */
            interface $Properties {

                /** Frame hello */
                hello?: (millrace.v1.Hello.$Properties|null);

                /** Frame helloReply */
                helloReply?: (millrace.v1.HelloReply.$Properties|null);

                /** Frame batch */
                batch?: (millrace.v1.Batch.$Properties|null);

                /** Frame checkpoint */
                checkpoint?: (millrace.v1.Checkpoint.$Properties|null);

                /** Frame ack */
                ack?: (millrace.v1.Ack.$Properties|null);

                /** Frame discard */
                discard?: (millrace.v1.Discard.$Properties|null);

                /** Frame discarded */
                discarded?: (millrace.v1.Discarded.$Properties|null);

                /** Frame stalled */
                stalled?: (millrace.v1.Stalled.$Properties|null);

                /** Frame schema */
                schema?: (millrace.v1.Schema.$Properties|null);

                /** Frame probe */
                probe?: (millrace.v1.Probe.$Properties|null);

                /** Frame fault */
                fault?: (millrace.v1.Fault.$Properties|null);

                /** Frame end */
                end?: (millrace.v1.End.$Properties|null);

                /** Frame kind */
                kind?: ("hello"|"helloReply"|"batch"|"checkpoint"|"ack"|"discard"|"discarded"|"stalled"|"schema"|"probe"|"fault"|"end");

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Narrowed shape of a Frame. */
            type $Shape = {
              hello?: millrace.v1.Hello.$Shape|null;
              helloReply?: millrace.v1.HelloReply.$Shape|null;
              batch?: millrace.v1.Batch.$Shape|null;
              checkpoint?: millrace.v1.Checkpoint.$Shape|null;
              ack?: millrace.v1.Ack.$Shape|null;
              discard?: millrace.v1.Discard.$Shape|null;
              discarded?: millrace.v1.Discarded.$Shape|null;
              stalled?: millrace.v1.Stalled.$Shape|null;
              schema?: millrace.v1.Schema.$Shape|null;
              probe?: millrace.v1.Probe.$Shape|null;
              fault?: millrace.v1.Fault.$Shape|null;
              end?: millrace.v1.End.$Shape|null;
              $unknowns?: Uint8Array[];
            } & (
              ({ kind?: undefined; hello?: null; helloReply?: null; batch?: null; checkpoint?: null; ack?: null; discard?: null; discarded?: null; stalled?: null; schema?: null; probe?: null; fault?: null; end?: null }|{ kind?: "hello"; hello: millrace.v1.Hello.$Shape; helloReply?: null; batch?: null; checkpoint?: null; ack?: null; discard?: null; discarded?: null; stalled?: null; schema?: null; probe?: null; fault?: null; end?: null }|{ kind?: "helloReply"; hello?: null; helloReply: millrace.v1.HelloReply.$Shape; batch?: null; checkpoint?: null; ack?: null; discard?: null; discarded?: null; stalled?: null; schema?: null; probe?: null; fault?: null; end?: null }|{ kind?: "batch"; hello?: null; helloReply?: null; batch: millrace.v1.Batch.$Shape; checkpoint?: null; ack?: null; discard?: null; discarded?: null; stalled?: null; schema?: null; probe?: null; fault?: null; end?: null }|{ kind?: "checkpoint"; hello?: null; helloReply?: null; batch?: null; checkpoint: millrace.v1.Checkpoint.$Shape; ack?: null; discard?: null; discarded?: null; stalled?: null; schema?: null; probe?: null; fault?: null; end?: null }|{ kind?: "ack"; hello?: null; helloReply?: null; batch?: null; checkpoint?: null; ack: millrace.v1.Ack.$Shape; discard?: null; discarded?: null; stalled?: null; schema?: null; probe?: null; fault?: null; end?: null }|{ kind?: "discard"; hello?: null; helloReply?: null; batch?: null; checkpoint?: null; ack?: null; discard: millrace.v1.Discard.$Shape; discarded?: null; stalled?: null; schema?: null; probe?: null; fault?: null; end?: null }|{ kind?: "discarded"; hello?: null; helloReply?: null; batch?: null; checkpoint?: null; ack?: null; discard?: null; discarded: millrace.v1.Discarded.$Shape; stalled?: null; schema?: null; probe?: null; fault?: null; end?: null }|{ kind?: "stalled"; hello?: null; helloReply?: null; batch?: null; checkpoint?: null; ack?: null; discard?: null; discarded?: null; stalled: millrace.v1.Stalled.$Shape; schema?: null; probe?: null; fault?: null; end?: null }|{ kind?: "schema"; hello?: null; helloReply?: null; batch?: null; checkpoint?: null; ack?: null; discard?: null; discarded?: null; stalled?: null; schema: millrace.v1.Schema.$Shape; probe?: null; fault?: null; end?: null }|{ kind?: "probe"; hello?: null; helloReply?: null; batch?: null; checkpoint?: null; ack?: null; discard?: null; discarded?: null; stalled?: null; schema?: null; probe: millrace.v1.Probe.$Shape; fault?: null; end?: null }|{ kind?: "fault"; hello?: null; helloReply?: null; batch?: null; checkpoint?: null; ack?: null; discard?: null; discarded?: null; stalled?: null; schema?: null; probe?: null; fault: millrace.v1.Fault.$Shape; end?: null }|{ kind?: "end"; hello?: null; helloReply?: null; batch?: null; checkpoint?: null; ack?: null; discard?: null; discarded?: null; stalled?: null; schema?: null; probe?: null; fault?: null; end: millrace.v1.End.$Shape })
            );
        }

        /**
         * Properties of a Hello.
         * @deprecated Use millrace.v1.Hello.$Properties instead.
         */
        interface IHello extends millrace.v1.Hello.$Properties {
        }

        /** Represents a Hello. */
        class Hello {

            /**
             * Constructs a new Hello.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Hello.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Hello versionMin. */
            versionMin: number;

            /** Hello versionMax. */
            versionMax: number;

            /** Hello run. */
            run: string;

            /** Hello epoch. */
            epoch: number;

            /** Hello channel. */
            channel: number;

            /**
             * Encodes the specified Hello message. Does not implicitly {@link millrace.v1.Hello.verify|verify} messages.
             * @param message Hello message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Hello.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Hello message, length delimited. Does not implicitly {@link millrace.v1.Hello.verify|verify} messages.
             * @param message Hello message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Hello.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Hello message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Hello & millrace.v1.Hello.$Shape} Hello
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Hello & millrace.v1.Hello.$Shape;

            /**
             * Decodes a Hello message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Hello & millrace.v1.Hello.$Shape} Hello
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Hello & millrace.v1.Hello.$Shape;
        }

        namespace Hello {

            /** Properties of a Hello. */
            interface $Properties {

                /** Hello versionMin */
                versionMin?: (number|null);

                /** Hello versionMax */
                versionMax?: (number|null);

                /** Hello run */
                run?: (string|null);

                /** Hello epoch */
                epoch?: (number|null);

                /** Hello channel */
                channel?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Hello. */
            type $Shape = millrace.v1.Hello.$Properties;
        }

        /**
         * Properties of a HelloReply.
         * @deprecated Use millrace.v1.HelloReply.$Properties instead.
         */
        interface IHelloReply extends millrace.v1.HelloReply.$Properties {
        }

        /** Represents a HelloReply. */
        class HelloReply {

            /**
             * Constructs a new HelloReply.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.HelloReply.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** HelloReply version. */
            version: number;

            /** HelloReply run. */
            run: string;

            /** HelloReply epoch. */
            epoch: number;

            /** HelloReply channel. */
            channel: number;

            /** HelloReply streams. */
            streams: millrace.v1.Schema.$Properties[];

            /**
             * Encodes the specified HelloReply message. Does not implicitly {@link millrace.v1.HelloReply.verify|verify} messages.
             * @param message HelloReply message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.HelloReply.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified HelloReply message, length delimited. Does not implicitly {@link millrace.v1.HelloReply.verify|verify} messages.
             * @param message HelloReply message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.HelloReply.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a HelloReply message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.HelloReply & millrace.v1.HelloReply.$Shape} HelloReply
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.HelloReply & millrace.v1.HelloReply.$Shape;

            /**
             * Decodes a HelloReply message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.HelloReply & millrace.v1.HelloReply.$Shape} HelloReply
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.HelloReply & millrace.v1.HelloReply.$Shape;
        }

        namespace HelloReply {

            /** Properties of a HelloReply. */
            interface $Properties {

                /** HelloReply version */
                version?: (number|null);

                /** HelloReply run */
                run?: (string|null);

                /** HelloReply epoch */
                epoch?: (number|null);

                /** HelloReply channel */
                channel?: (number|null);

                /** HelloReply streams */
                streams?: (millrace.v1.Schema.$Properties[]|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a HelloReply. */
            type $Shape = millrace.v1.HelloReply.$Properties;
        }

        /**
         * Properties of a Schema.
         * @deprecated Use millrace.v1.Schema.$Properties instead.
         */
        interface ISchema extends millrace.v1.Schema.$Properties {
        }

        /** Represents a Schema. */
        class Schema {

            /**
             * Constructs a new Schema.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Schema.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Schema stream. */
            stream: number;

            /** Schema version. */
            version: number;

            /** Schema namespace. */
            namespace: string;

            /** Schema name. */
            name: string;

            /** Schema columns. */
            columns: millrace.v1.Column.$Properties[];

            /** Schema fingerprint. */
            fingerprint: string;

            /**
             * Encodes the specified Schema message. Does not implicitly {@link millrace.v1.Schema.verify|verify} messages.
             * @param message Schema message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Schema.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Schema message, length delimited. Does not implicitly {@link millrace.v1.Schema.verify|verify} messages.
             * @param message Schema message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Schema.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Schema message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Schema & millrace.v1.Schema.$Shape} Schema
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Schema & millrace.v1.Schema.$Shape;

            /**
             * Decodes a Schema message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Schema & millrace.v1.Schema.$Shape} Schema
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Schema & millrace.v1.Schema.$Shape;
        }

        namespace Schema {

            /** Properties of a Schema. */
            interface $Properties {

                /** Schema stream */
                stream?: (number|null);

                /** Schema version */
                version?: (number|null);

                /** Schema namespace */
                namespace?: (string|null);

                /** Schema name */
                name?: (string|null);

                /** Schema columns */
                columns?: (millrace.v1.Column.$Properties[]|null);

                /** Schema fingerprint */
                fingerprint?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Schema. */
            type $Shape = millrace.v1.Schema.$Properties;
        }

        /**
         * Properties of a Column.
         * @deprecated Use millrace.v1.Column.$Properties instead.
         */
        interface IColumn extends millrace.v1.Column.$Properties {
        }

        /** Represents a Column. */
        class Column {

            /**
             * Constructs a new Column.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Column.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Column name. */
            name: string;

            /** Column kind. */
            kind: string;

            /** Column precision. */
            precision: number;

            /** Column scale. */
            scale: number;

            /** Column nullable. */
            nullable: boolean;

            /** Column sourceType. */
            sourceType: string;

            /**
             * Encodes the specified Column message. Does not implicitly {@link millrace.v1.Column.verify|verify} messages.
             * @param message Column message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Column.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Column message, length delimited. Does not implicitly {@link millrace.v1.Column.verify|verify} messages.
             * @param message Column message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Column.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Column message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Column & millrace.v1.Column.$Shape} Column
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Column & millrace.v1.Column.$Shape;

            /**
             * Decodes a Column message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Column & millrace.v1.Column.$Shape} Column
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Column & millrace.v1.Column.$Shape;
        }

        namespace Column {

            /** Properties of a Column. */
            interface $Properties {

                /** Column name */
                name?: (string|null);

                /** Column kind */
                kind?: (string|null);

                /** Column precision */
                precision?: (number|null);

                /** Column scale */
                scale?: (number|null);

                /** Column nullable */
                nullable?: (boolean|null);

                /** Column sourceType */
                sourceType?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Column. */
            type $Shape = millrace.v1.Column.$Properties;
        }

        /**
         * Properties of a Batch.
         * @deprecated Use millrace.v1.Batch.$Properties instead.
         */
        interface IBatch extends millrace.v1.Batch.$Properties {
        }

        /** Represents a Batch. */
        class Batch {

            /**
             * Constructs a new Batch.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Batch.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Batch stream. */
            stream: number;

            /** Batch partition. */
            partition: number;

            /** Batch attempt. */
            attempt: number;

            /** Batch sequence. */
            sequence: number;

            /** Batch rowCount. */
            rowCount: number;

            /** Batch schemaVersion. */
            schemaVersion: number;

            /** Batch columns. */
            columns: millrace.v1.ColumnBuffers.$Properties[];

            /** Batch bodyBytes. */
            bodyBytes: number;

            /** Batch bodyCrc32. */
            bodyCrc32: number;

            /**
             * Encodes the specified Batch message. Does not implicitly {@link millrace.v1.Batch.verify|verify} messages.
             * @param message Batch message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Batch.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Batch message, length delimited. Does not implicitly {@link millrace.v1.Batch.verify|verify} messages.
             * @param message Batch message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Batch.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Batch message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Batch & millrace.v1.Batch.$Shape} Batch
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Batch & millrace.v1.Batch.$Shape;

            /**
             * Decodes a Batch message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Batch & millrace.v1.Batch.$Shape} Batch
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Batch & millrace.v1.Batch.$Shape;
        }

        namespace Batch {

            /** Properties of a Batch. */
            interface $Properties {

                /** Batch stream */
                stream?: (number|null);

                /** Batch partition */
                partition?: (number|null);

                /** Batch attempt */
                attempt?: (number|null);

                /** Batch sequence */
                sequence?: (number|null);

                /** Batch rowCount */
                rowCount?: (number|null);

                /** Batch schemaVersion */
                schemaVersion?: (number|null);

                /** Batch columns */
                columns?: (millrace.v1.ColumnBuffers.$Properties[]|null);

                /** Batch bodyBytes */
                bodyBytes?: (number|null);

                /** Batch bodyCrc32 */
                bodyCrc32?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Batch. */
            type $Shape = millrace.v1.Batch.$Properties;
        }

        /**
         * Properties of a ColumnBuffers.
         * @deprecated Use millrace.v1.ColumnBuffers.$Properties instead.
         */
        interface IColumnBuffers extends millrace.v1.ColumnBuffers.$Properties {
        }

        /** Represents a ColumnBuffers. */
        class ColumnBuffers {

            /**
             * Constructs a new ColumnBuffers.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.ColumnBuffers.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** ColumnBuffers nullCount. */
            nullCount: number;

            /** ColumnBuffers validityOffset. */
            validityOffset: number;

            /** ColumnBuffers offsetsOffset. */
            offsetsOffset: number;

            /** ColumnBuffers dataOffset. */
            dataOffset: number;

            /** ColumnBuffers dataBytes. */
            dataBytes: number;

            /**
             * Encodes the specified ColumnBuffers message. Does not implicitly {@link millrace.v1.ColumnBuffers.verify|verify} messages.
             * @param message ColumnBuffers message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.ColumnBuffers.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified ColumnBuffers message, length delimited. Does not implicitly {@link millrace.v1.ColumnBuffers.verify|verify} messages.
             * @param message ColumnBuffers message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.ColumnBuffers.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a ColumnBuffers message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.ColumnBuffers & millrace.v1.ColumnBuffers.$Shape} ColumnBuffers
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.ColumnBuffers & millrace.v1.ColumnBuffers.$Shape;

            /**
             * Decodes a ColumnBuffers message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.ColumnBuffers & millrace.v1.ColumnBuffers.$Shape} ColumnBuffers
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.ColumnBuffers & millrace.v1.ColumnBuffers.$Shape;
        }

        namespace ColumnBuffers {

            /** Properties of a ColumnBuffers. */
            interface $Properties {

                /** ColumnBuffers nullCount */
                nullCount?: (number|null);

                /** ColumnBuffers validityOffset */
                validityOffset?: (number|null);

                /** ColumnBuffers offsetsOffset */
                offsetsOffset?: (number|null);

                /** ColumnBuffers dataOffset */
                dataOffset?: (number|null);

                /** ColumnBuffers dataBytes */
                dataBytes?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a ColumnBuffers. */
            type $Shape = millrace.v1.ColumnBuffers.$Properties;
        }

        /**
         * Properties of a Checkpoint.
         * @deprecated Use millrace.v1.Checkpoint.$Properties instead.
         */
        interface ICheckpoint extends millrace.v1.Checkpoint.$Properties {
        }

        /** Represents a Checkpoint. */
        class Checkpoint {

            /**
             * Constructs a new Checkpoint.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Checkpoint.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Checkpoint stream. */
            stream: number;

            /** Checkpoint partition. */
            partition: number;

            /** Checkpoint attempt. */
            attempt: number;

            /** Checkpoint sequence. */
            sequence: number;

            /** Checkpoint index. */
            index: number;

            /** Checkpoint positionJson. */
            positionJson: string;

            /** Checkpoint rows. */
            rows: number;

            /** Checkpoint bytes. */
            bytes: number;

            /** Checkpoint last. */
            last: boolean;

            /**
             * Encodes the specified Checkpoint message. Does not implicitly {@link millrace.v1.Checkpoint.verify|verify} messages.
             * @param message Checkpoint message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Checkpoint.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Checkpoint message, length delimited. Does not implicitly {@link millrace.v1.Checkpoint.verify|verify} messages.
             * @param message Checkpoint message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Checkpoint.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Checkpoint message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Checkpoint & millrace.v1.Checkpoint.$Shape} Checkpoint
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Checkpoint & millrace.v1.Checkpoint.$Shape;

            /**
             * Decodes a Checkpoint message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Checkpoint & millrace.v1.Checkpoint.$Shape} Checkpoint
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Checkpoint & millrace.v1.Checkpoint.$Shape;
        }

        namespace Checkpoint {

            /** Properties of a Checkpoint. */
            interface $Properties {

                /** Checkpoint stream */
                stream?: (number|null);

                /** Checkpoint partition */
                partition?: (number|null);

                /** Checkpoint attempt */
                attempt?: (number|null);

                /** Checkpoint sequence */
                sequence?: (number|null);

                /** Checkpoint index */
                index?: (number|null);

                /** Checkpoint positionJson */
                positionJson?: (string|null);

                /** Checkpoint rows */
                rows?: (number|null);

                /** Checkpoint bytes */
                bytes?: (number|null);

                /** Checkpoint last */
                last?: (boolean|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Checkpoint. */
            type $Shape = millrace.v1.Checkpoint.$Properties;
        }

        /**
         * Properties of an Ack.
         * @deprecated Use millrace.v1.Ack.$Properties instead.
         */
        interface IAck extends millrace.v1.Ack.$Properties {
        }

        /** Represents an Ack. */
        class Ack {

            /**
             * Constructs a new Ack.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Ack.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Ack stream. */
            stream: number;

            /** Ack partition. */
            partition: number;

            /** Ack attempt. */
            attempt: number;

            /** Ack sequence. */
            sequence: number;

            /** Ack rows. */
            rows: number;

            /** Ack bytes. */
            bytes: number;

            /**
             * Encodes the specified Ack message. Does not implicitly {@link millrace.v1.Ack.verify|verify} messages.
             * @param message Ack message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Ack.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Ack message, length delimited. Does not implicitly {@link millrace.v1.Ack.verify|verify} messages.
             * @param message Ack message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Ack.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes an Ack message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Ack & millrace.v1.Ack.$Shape} Ack
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Ack & millrace.v1.Ack.$Shape;

            /**
             * Decodes an Ack message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Ack & millrace.v1.Ack.$Shape} Ack
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Ack & millrace.v1.Ack.$Shape;
        }

        namespace Ack {

            /** Properties of an Ack. */
            interface $Properties {

                /** Ack stream */
                stream?: (number|null);

                /** Ack partition */
                partition?: (number|null);

                /** Ack attempt */
                attempt?: (number|null);

                /** Ack sequence */
                sequence?: (number|null);

                /** Ack rows */
                rows?: (number|null);

                /** Ack bytes */
                bytes?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of an Ack. */
            type $Shape = millrace.v1.Ack.$Properties;
        }

        /**
         * Properties of a Discard.
         * @deprecated Use millrace.v1.Discard.$Properties instead.
         */
        interface IDiscard extends millrace.v1.Discard.$Properties {
        }

        /** Represents a Discard. */
        class Discard {

            /**
             * Constructs a new Discard.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Discard.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Discard stream. */
            stream: number;

            /** Discard partition. */
            partition: number;

            /** Discard attempt. */
            attempt: number;

            /** Discard fromSequence. */
            fromSequence: number;

            /**
             * Encodes the specified Discard message. Does not implicitly {@link millrace.v1.Discard.verify|verify} messages.
             * @param message Discard message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Discard.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Discard message, length delimited. Does not implicitly {@link millrace.v1.Discard.verify|verify} messages.
             * @param message Discard message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Discard.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Discard message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Discard & millrace.v1.Discard.$Shape} Discard
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Discard & millrace.v1.Discard.$Shape;

            /**
             * Decodes a Discard message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Discard & millrace.v1.Discard.$Shape} Discard
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Discard & millrace.v1.Discard.$Shape;
        }

        namespace Discard {

            /** Properties of a Discard. */
            interface $Properties {

                /** Discard stream */
                stream?: (number|null);

                /** Discard partition */
                partition?: (number|null);

                /** Discard attempt */
                attempt?: (number|null);

                /** Discard fromSequence */
                fromSequence?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Discard. */
            type $Shape = millrace.v1.Discard.$Properties;
        }

        /**
         * Properties of a Discarded.
         * @deprecated Use millrace.v1.Discarded.$Properties instead.
         */
        interface IDiscarded extends millrace.v1.Discarded.$Properties {
        }

        /** Represents a Discarded. */
        class Discarded {

            /**
             * Constructs a new Discarded.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Discarded.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Discarded stream. */
            stream: number;

            /** Discarded partition. */
            partition: number;

            /** Discarded attempt. */
            attempt: number;

            /**
             * Encodes the specified Discarded message. Does not implicitly {@link millrace.v1.Discarded.verify|verify} messages.
             * @param message Discarded message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Discarded.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Discarded message, length delimited. Does not implicitly {@link millrace.v1.Discarded.verify|verify} messages.
             * @param message Discarded message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Discarded.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Discarded message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Discarded & millrace.v1.Discarded.$Shape} Discarded
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Discarded & millrace.v1.Discarded.$Shape;

            /**
             * Decodes a Discarded message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Discarded & millrace.v1.Discarded.$Shape} Discarded
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Discarded & millrace.v1.Discarded.$Shape;
        }

        namespace Discarded {

            /** Properties of a Discarded. */
            interface $Properties {

                /** Discarded stream */
                stream?: (number|null);

                /** Discarded partition */
                partition?: (number|null);

                /** Discarded attempt */
                attempt?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Discarded. */
            type $Shape = millrace.v1.Discarded.$Properties;
        }

        /**
         * Properties of a Stalled.
         * @deprecated Use millrace.v1.Stalled.$Properties instead.
         */
        interface IStalled extends millrace.v1.Stalled.$Properties {
        }

        /** Represents a Stalled. */
        class Stalled {

            /**
             * Constructs a new Stalled.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Stalled.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Stalled reason. */
            reason: string;

            /**
             * Encodes the specified Stalled message. Does not implicitly {@link millrace.v1.Stalled.verify|verify} messages.
             * @param message Stalled message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Stalled.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Stalled message, length delimited. Does not implicitly {@link millrace.v1.Stalled.verify|verify} messages.
             * @param message Stalled message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Stalled.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Stalled message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Stalled & millrace.v1.Stalled.$Shape} Stalled
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Stalled & millrace.v1.Stalled.$Shape;

            /**
             * Decodes a Stalled message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Stalled & millrace.v1.Stalled.$Shape} Stalled
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Stalled & millrace.v1.Stalled.$Shape;
        }

        namespace Stalled {

            /** Properties of a Stalled. */
            interface $Properties {

                /** Stalled reason */
                reason?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Stalled. */
            type $Shape = millrace.v1.Stalled.$Properties;
        }

        /**
         * Properties of a Probe.
         * @deprecated Use millrace.v1.Probe.$Properties instead.
         */
        interface IProbe extends millrace.v1.Probe.$Properties {
        }

        /** Represents a Probe. */
        class Probe {

            /**
             * Constructs a new Probe.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Probe.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /**
             * Encodes the specified Probe message. Does not implicitly {@link millrace.v1.Probe.verify|verify} messages.
             * @param message Probe message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Probe.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Probe message, length delimited. Does not implicitly {@link millrace.v1.Probe.verify|verify} messages.
             * @param message Probe message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Probe.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Probe message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Probe & millrace.v1.Probe.$Shape} Probe
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Probe & millrace.v1.Probe.$Shape;

            /**
             * Decodes a Probe message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Probe & millrace.v1.Probe.$Shape} Probe
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Probe & millrace.v1.Probe.$Shape;
        }

        namespace Probe {

            /** Properties of a Probe. */
            interface $Properties {

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Probe. */
            type $Shape = millrace.v1.Probe.$Properties;
        }

        /**
         * Properties of a Fault.
         * @deprecated Use millrace.v1.Fault.$Properties instead.
         */
        interface IFault extends millrace.v1.Fault.$Properties {
        }

        /** Represents a Fault. */
        class Fault {

            /**
             * Constructs a new Fault.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.Fault.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** Fault code. */
            code: string;

            /** Fault message. */
            message: string;

            /** Fault detailsJson. */
            detailsJson: string;

            /**
             * Encodes the specified Fault message. Does not implicitly {@link millrace.v1.Fault.verify|verify} messages.
             * @param message Fault message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.Fault.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified Fault message, length delimited. Does not implicitly {@link millrace.v1.Fault.verify|verify} messages.
             * @param message Fault message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.Fault.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes a Fault message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.Fault & millrace.v1.Fault.$Shape} Fault
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.Fault & millrace.v1.Fault.$Shape;

            /**
             * Decodes a Fault message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.Fault & millrace.v1.Fault.$Shape} Fault
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.Fault & millrace.v1.Fault.$Shape;
        }

        namespace Fault {

            /** Properties of a Fault. */
            interface $Properties {

                /** Fault code */
                code?: (string|null);

                /** Fault message */
                message?: (string|null);

                /** Fault detailsJson */
                detailsJson?: (string|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of a Fault. */
            type $Shape = millrace.v1.Fault.$Properties;
        }

        /**
         * Properties of an End.
         * @deprecated Use millrace.v1.End.$Properties instead.
         */
        interface IEnd extends millrace.v1.End.$Properties {
        }

        /** Represents an End. */
        class End {

            /**
             * Constructs a new End.
             * @param [properties] Properties to set
             */
            constructor(properties?: millrace.v1.End.$Properties);

            /** Unknown fields preserved while decoding when enabled */
            $unknowns?: Uint8Array[];

            /** End batches. */
            batches: number;

            /** End rows. */
            rows: number;

            /** End bytes. */
            bytes: number;

            /** End checkpoints. */
            checkpoints: number;

            /**
             * Encodes the specified End message. Does not implicitly {@link millrace.v1.End.verify|verify} messages.
             * @param message End message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encode(message: millrace.v1.End.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Encodes the specified End message, length delimited. Does not implicitly {@link millrace.v1.End.verify|verify} messages.
             * @param message End message or plain object to encode
             * @param [writer] Writer to encode to
             * @returns Writer
             */
            static encodeDelimited(message: millrace.v1.End.$Properties, writer?: $protobuf.Writer): $protobuf.Writer;

            /**
             * Decodes an End message from the specified reader or buffer.
             * @param reader Reader or buffer to decode from
             * @param [length] Message length if known beforehand
             * @returns {millrace.v1.End & millrace.v1.End.$Shape} End
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decode(reader: ($protobuf.Reader|Uint8Array), length?: number): millrace.v1.End & millrace.v1.End.$Shape;

            /**
             * Decodes an End message from the specified reader or buffer, length delimited.
             * @param reader Reader or buffer to decode from
             * @returns {millrace.v1.End & millrace.v1.End.$Shape} End
             * @throws {Error} If the payload is not a reader or valid buffer
             * @throws {$protobuf.util.ProtocolError} If required fields are missing
             */
            static decodeDelimited(reader: ($protobuf.Reader|Uint8Array)): millrace.v1.End & millrace.v1.End.$Shape;
        }

        namespace End {

            /** Properties of an End. */
            interface $Properties {

                /** End batches */
                batches?: (number|null);

                /** End rows */
                rows?: (number|null);

                /** End bytes */
                bytes?: (number|null);

                /** End checkpoints */
                checkpoints?: (number|null);

                /** Unknown fields preserved while decoding when enabled */
                $unknowns?: Uint8Array[];
            }

            /** Shape of an End. */
            type $Shape = millrace.v1.End.$Properties;
        }
    }
}
