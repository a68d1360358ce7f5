/** How a fault reads over HTTP: one shape, `{error: {code, message, help, details}}`, and one status for each code. */
import {
  errorCodes,
  ExtractError,
  type ErrorCode,
  type ErrorDetails,
} from "../../proto/error.ts";

/** Faults that only HTTP knows; those of the world have their code in `proto/error.ts`. */
export const httpFaults = {
  REQUEST_INVALID: {
    status: 400,
    help: "The message names the member; /api/openapi.json has the shapes.",
  },
  UNAUTHENTICATED: {
    status: 401,
    help: "Send `Authorization: Bearer <token>`; without configured tokens it lies in the daemon's file beside its ledger.",
  },
  FORBIDDEN: {
    status: 403,
    help: "The token's role is too low for this; `daemon.tokens` in the configuration gives roles.",
  },
  NOT_FOUND: {
    status: 404,
    help: "/api/openapi.json lists what there is.",
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    help: "The header `Allow` lists the methods that this path takes.",
  },
  BODY_TOO_LARGE: {
    status: 413,
    help: "Send less; a trigger names patterns of tables rather than each of them.",
  },
  MEDIA_TYPE_UNSUPPORTED: {
    status: 415,
    help: "Send `Content-Type: application/json`.",
  },
  HOST_REFUSED: {
    status: 421,
    help: "On loopback the daemon answers only to localhost, 127.0.0.1 and [::1]; `daemon.listen` binds it elsewhere.",
  },
  TOO_MANY_FAILURES: {
    status: 429,
    help: "Wait as long as the header `Retry-After` says.",
  },
  TOO_MANY_SUBSCRIBERS: {
    status: 503,
    help: "Close an event stream that is no longer read, or try again later.",
  },
} as const satisfies Record<string, { status: number; help: string }>;

export type HttpFaultCode = keyof typeof httpFaults;

export class HttpFault extends Error {
  override readonly name = "HttpFault";
  readonly code: HttpFaultCode;
  readonly details: ErrorDetails;

  constructor(
    code: HttpFaultCode,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

export interface ErrorBody {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly help: string;
    readonly details: ErrorDetails;
  };
}

/** Codes of the world that are no fault of the server. All others are 500. */
const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  USAGE: 400,
  TRIGGER_INVALID: 422,
  IDEMPOTENCY_CONFLICT: 422,
  SYNC_NOT_FOUND: 404,
  RUN_NOT_FOUND: 404,
  RUN_STATE: 409,
  RUN_LOCKED: 409,
  STATE_INCOMPATIBLE: 409,
  LEDGER_FULL: 507,
  LEDGER_DISK_FULL: 507,
  DESTINATION_FULL: 507,
  LEDGER_UNREACHABLE: 503,
};

/** Faults of fastify itself, by its own code. */
const fastifyFaults: Readonly<Record<string, HttpFaultCode>> = {
  FST_ERR_VALIDATION: "REQUEST_INVALID",
  FST_ERR_CTP_INVALID_JSON_BODY: "REQUEST_INVALID",
  FST_ERR_CTP_EMPTY_JSON_BODY: "REQUEST_INVALID",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "REQUEST_INVALID",
  FST_ERR_CTP_BODY_TOO_LARGE: "BODY_TOO_LARGE",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "MEDIA_TYPE_UNSUPPORTED",
  FST_ERR_BAD_URL: "NOT_FOUND",
  FST_ERR_MAX_PARAM_LENGTH: "NOT_FOUND",
};

export interface Answer {
  readonly status: number;
  readonly body: ErrorBody;
  /** Ours: told to the log with its stack, and to the caller without. */
  readonly isOurs: boolean;
}

export function describeFault(error: unknown): Answer {
  if (error instanceof HttpFault) {
    const { code, message, details } = error;
    return answer(httpFaults[code].status, code, message, details);
  }
  if (error instanceof ExtractError) return describeExtractError(error);
  const { code, statusCode, message } = error as {
    code?: unknown;
    statusCode?: unknown;
    message?: unknown;
  };
  const known = typeof code === "string" ? fastifyFaults[code] : undefined;
  const isCallers =
    known !== undefined ||
    (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500);
  if (isCallers) {
    const kind = known ?? "REQUEST_INVALID";
    return answer(httpFaults[kind].status, kind, String(message), {});
  }
  return {
    ...answer(
      500,
      "INTERNAL",
      "this is a fault of Millrace; the daemon's log has more",
      {},
    ),
    isOurs: true,
  };
}

function describeExtractError(error: ExtractError): Answer {
  const { code, message } = error;
  const { help, stack: _, ...details } = error.details;
  const status = statuses[code] ?? 500;
  const isOurs = code === "INTERNAL";
  return {
    status,
    body: {
      error: {
        code,
        message: isOurs
          ? "this is a fault of Millrace; the daemon's log has more"
          : message,
        help: typeof help === "string" ? help : errorCodes[code].help,
        details: isOurs ? {} : details,
      },
    },
    isOurs,
  };
}

function answer(
  status: number,
  code: HttpFaultCode | "INTERNAL",
  message: string,
  details: ErrorDetails,
): Answer {
  const { help } = code === "INTERNAL" ? errorCodes.INTERNAL : httpFaults[code];
  return {
    status,
    body: { error: { code, message, help, details } },
    isOurs: false,
  };
}
