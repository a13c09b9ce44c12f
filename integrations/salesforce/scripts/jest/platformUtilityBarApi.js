// A stand-in for tests: sfdx-lwc-jest has none.
import { createTestWireAdapter } from '@salesforce/wire-service-jest-util';

export const EnclosingUtilityId = createTestWireAdapter(jest.fn());
export const open = jest.fn().mockResolvedValue(true);
export const updateUtility = jest.fn().mockResolvedValue(true);
